package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// operation is what clients ask for again and again.
type operation struct {
	name string
	// leastOfFloor is what part of the floor's throughput the library is to reach.
	leastOfFloor float64
	// prepare makes, once, what the calls use again and again; nil when that is
	// nothing.
	prepare func(d *driver) error
	// supply makes what n calls use up, before the clock starts; nil when that is
	// nothing.
	supply func(d *driver, n int) ([]string, error)
	// call makes a worker's next call, the n-th of all of this slice.
	call func(d *driver, worker, n int) error
}

// The operations that every contestant has.
const (
	issue    = "issue"    // client credentials
	redeem   = "redeem"   // a code, with PKCE
	refresh  = "refresh"  // rotate a refresh token
	validate = "validate" // call an API
)

// Those of an OpenID Provider, which the library and the GORM floor have.
const (
	introspect   = "introspect"    // ask what a user's token stands for
	issueJWT     = "issue-jwt"     // client credentials, for a signed token
	validateJWT  = "validate-jwt"  // call an API that verifies it
	issueDPoP    = "issue-dpop"    // client credentials, with a proof
	validateDPoP = "validate-dpop" // call an API, with a proof
	poll         = "poll"          // a device whose user has not decided
	redeemOpenID = "redeem-openid" // a code, for an ID token as well
)

var operations = []operation{
	{name: issue, leastOfFloor: 0.90, call: (*driver).issue},
	{name: redeem, leastOfFloor: 0.90, supply: (*driver).codes, call: (*driver).redeem},
	{name: refresh, leastOfFloor: 0.90, prepare: (*driver).grantEach, call: (*driver).refresh},
	{name: validate, leastOfFloor: 0.95, prepare: (*driver).grantSome, call: (*driver).validate},
	{name: introspect, leastOfFloor: 0.90, prepare: (*driver).grantSome, call: (*driver).introspect},
	{name: issueJWT, leastOfFloor: 0.90, call: (*driver).issueJWT},
	{name: validateJWT, leastOfFloor: 0.90, prepare: (*driver).issueSomeJWTs, call: (*driver).validateJWT},
	{name: issueDPoP, leastOfFloor: 0.90, supply: (*driver).tokenProofs, call: (*driver).issueDPoP},
	{name: validateDPoP, leastOfFloor: 0.90, prepare: (*driver).issueSomeBound, supply: (*driver).apiProofs, call: (*driver).validateDPoP},
	{name: poll, leastOfFloor: 0.90, supply: (*driver).deviceCodes, call: (*driver).poll},
	{name: redeemOpenID, leastOfFloor: 0.90, supply: (*driver).openIDCodes, call: (*driver).redeemOpenID},
}

// basic are the names of the operations that every contestant has, and every
// those of all.
var (
	basic = []string{issue, redeem, refresh, validate}
	every = namesOf(operations)
)

func namesOf(operations []operation) []string {
	names := make([]string, len(operations))
	for i, o := range operations {
		names[i] = o.name
	}
	return names
}

// operationsNamed returns the operations of these names, in their own order.
func operationsNamed(names []string) ([]operation, error) {
	for _, name := range names {
		if !slices.Contains(every, name) {
			return nil, fmt.Errorf("there is no operation %q", name)
		}
	}
	return slices.DeleteFunc(slices.Clone(operations), func(o operation) bool { return !slices.Contains(names, o.name) }), nil
}

// some is how many tokens there are to choose from, where any will do.
const some = 50

func (d *driver) issue(int, int) error {
	_, err := d.mustToken(tokenPath, credentialsForm())
	return err
}

func (d *driver) codes(n int) ([]string, error) { return d.seeds(codeSeed, n) }

func (d *driver) redeem(_, n int) error {
	_, err := d.mustToken(tokenPath, codeForm(d.stock[n]))
	return err
}

func (d *driver) grantEach() (err error) {
	d.grants, err = d.newGrants(d.workers)
	return err
}

func (d *driver) refresh(worker, _ int) error {
	i := d.turn[worker]%(len(d.grants)/d.workers)*d.workers + worker // no other worker's
	d.turn[worker]++
	t, err := d.mustToken(tokenPath, refreshForm(d.grants[i].Refresh))
	if t.Refresh != "" {
		d.grants[i] = t
	}
	return err
}

func (d *driver) grantSome() (err error) {
	d.grants, err = d.newGrants(some)
	return err
}

func (d *driver) validate(_, n int) error { return d.mustAPI(apiPath, "Bearer", d.access(n), "") }

// access is one of the tokens, in turn.
func (d *driver) access(n int) string { return d.grants[n%len(d.grants)].Access }

func (d *driver) introspect(_, n int) error {
	status, text, err := d.do(http.MethodPost, introspectPath, url.Values{"token": {d.access(n)}}, nil)
	var answer struct{ Active bool }
	if err == nil && (status != http.StatusOK || json.Unmarshal(text, &answer) != nil || !answer.Active) {
		err = fmt.Errorf("introspection is answered with %d: %s", status, text)
	}
	return err
}

func (d *driver) issueJWT(int, int) error {
	_, err := d.mustToken(jwtTokenPath, credentialsForm())
	return err
}

func (d *driver) issueSomeJWTs() error {
	return d.grant(some, func(int) (tokens, error) { return d.mustToken(jwtTokenPath, credentialsForm()) })
}

func (d *driver) validateJWT(_, n int) error { return d.mustAPI(jwtAPIPath, "Bearer", d.access(n), "") }

func (d *driver) tokenProofs(n int) ([]string, error) {
	return d.proofs(n, http.MethodPost, tokenTarget, func(int) string { return "" })
}

func (d *driver) issueDPoP(_, n int) error {
	_, err := d.boundToken(d.stock[n])
	return err
}

func (d *driver) boundToken(proof string) (tokens, error) {
	return d.mustToken(providerPath, credentialsForm(), proof)
}

func (d *driver) issueSomeBound() error {
	proofs, err := d.tokenProofs(some)
	if err != nil {
		return err
	}
	return d.grant(some, func(i int) (tokens, error) { return d.boundToken(proofs[i]) })
}

func (d *driver) apiProofs(n int) ([]string, error) {
	return d.proofs(n, http.MethodGet, apiTarget, d.access)
}

func (d *driver) validateDPoP(_, n int) error {
	return d.mustAPI(dpopAPIPath, "DPoP", d.access(n), d.stock[n])
}

func (d *driver) deviceCodes(n int) ([]string, error) { return d.seeds(deviceSeed, n) }

// poll polls each device code once, as a device does that keeps to its interval.
func (d *driver) poll(_, n int) error {
	status, text, err := d.do(http.MethodPost, providerPath, deviceForm(d.stock[n]), nil)
	if err == nil && (status != http.StatusBadRequest || errorCode(text) != "authorization_pending") {
		err = fmt.Errorf("a poll is answered with %d: %s", status, text)
	}
	return err
}

func (d *driver) openIDCodes(n int) ([]string, error) { return d.seeds(openIDSeed, n) }

func (d *driver) redeemOpenID(_, n int) error {
	t, err := d.mustToken(providerPath, codeForm(d.stock[n]))
	if err == nil && t.ID == "" {
		err = errors.New("a code is answered without an ID token")
	}
	return err
}
