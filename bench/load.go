package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The paths of contestants. Those after the first two are of contestants that
// have all operations, see [provider].
const (
	tokenPath      = "/token"
	apiPath        = "/api"
	introspectPath = "/introspect"
	providerPath   = "/provider/token"
	jwtTokenPath   = "/jwt/token"
	jwtAPIPath     = "/jwt/api"
	dpopAPIPath    = "/dpop/api"
	jwksPath       = "/jwks"
)

// tokens is what the token endpoint answers.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
}

// caller calls one contestant over HTTP.
type caller struct {
	address string
	http    *http.Client
}

func newCaller(address string, connections int) *caller {
	return &caller{address, &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections},
	}}
}

// do sends a request and returns the status and the body. A form is sent by the
// client, which authenticates.
func (c *caller) do(method, path string, form url.Values, header http.Header) (int, []byte, error) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(context.Background(), method, "http://"+c.address+path, body)
	if err != nil {
		return 0, nil, err
	}
	if header != nil {
		r.Header = header
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(clientID, clientSecret)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, text, err
}

// token asks a token endpoint, with the proof if there is one.
func (c *caller) token(path string, form url.Values, proof ...string) (tokens, int, error) {
	header := make(http.Header)
	if len(proof) > 0 {
		header["Dpop"] = proof
	}
	status, text, err := c.do(http.MethodPost, path, form, header)
	var t tokens
	if err == nil && status == http.StatusOK {
		err = json.Unmarshal(text, &t)
	}
	return t, status, err
}

func (c *caller) mustToken(path string, form url.Values, proof ...string) (tokens, error) {
	t, status, err := c.token(path, form, proof...)
	if err == nil && (status != http.StatusOK || t.Access == "") {
		err = fmt.Errorf("%s is answered with %d", form.Get("grant_type"), status)
	}
	return t, err
}

func credentialsForm() url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "scope": {"profile"}}
}

func codeForm(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {verifier}, "redirect_uri": {redirectURI}}
}

func refreshForm(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
}

func deviceForm(code string) url.Values {
	return url.Values{"grant_type": {deviceGrantType}, "device_code": {code}}
}

// errorCode is the code of an answer that is an error.
func errorCode(text []byte) string {
	var answer struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(text, &answer)
	return answer.Error
}

// api calls a protected resource, with the proof unless it is empty.
func (c *caller) api(path, scheme, access, proof string) (status int, err error) {
	header := http.Header{"Authorization": {scheme + " " + access}}
	if proof != "" {
		header.Set("DPoP", proof)
	}
	status, _, err = c.do(http.MethodGet, path, nil, header)
	return status, err
}

func (c *caller) mustAPI(path, scheme, access, proof string) error {
	status, err := c.api(path, scheme, access, proof)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the API answered with %d", status)
	}
	return err
}

// seeds has the contestant make what is exchanged later.
func (c *caller) seeds(kind string, n int) ([]string, error) {
	status, text, err := c.do(http.MethodPost, fmt.Sprintf("/seed?codes=%d&kind=%s", n, kind), nil, nil)
	if err == nil && status != http.StatusOK {
		err = errors.New(string(text))
	}
	if err != nil {
		return nil, err
	}
	var codes []string
	err = json.Unmarshal(text, &codes)
	return codes, err
}

// newGrants redeems codes, and returns the tokens.
func (c *caller) newGrants(n int) ([]tokens, error) {
	codes, err := c.seeds(codeSeed, n)
	if err != nil {
		return nil, err
	}
	all := make([]tokens, n)
	return all, parallel(n, connections, func(i int) (err error) {
		all[i], err = c.mustToken(tokenPath, codeForm(codes[i]))
		return err
	})
}

// measurement is what came of one slice of time.
type measurement struct {
	Count     int
	Elapsed   time.Duration
	Latencies []time.Duration // sorted
}

// Rate is in calls a second.
func (m measurement) Rate() float64 { return float64(m.Count) / m.Elapsed.Seconds() }

// Percentile is the latency that so many in a hundred do not exceed.
func (m measurement) Percentile(p float64) time.Duration {
	if len(m.Latencies) == 0 {
		return 0
	}
	return m.Latencies[min(len(m.Latencies)-1, int(p/100*float64(len(m.Latencies))))]
}

// driver repeats one operation on one contestant.
type driver struct {
	*caller
	operation operation
	workers   int
	grants    []tokens // to refresh: one for each worker, or as many more; otherwise some to choose from
	turn      []int    // how many calls each worker has made
	prover    *prover  // of the client's key, nil before it is needed
	stock     []string // what the calls of a slice use up
	lastRate  float64
}

func newDriver(c *caller, o operation, workers int) (*driver, error) {
	d := newSpreadDriver(c, o, workers, nil)
	if o.prepare == nil {
		return d, nil
	}
	return d, o.prepare(d)
}

// newSpreadDriver uses all of the grants, one after the other; at least one for
// each worker.
func newSpreadDriver(c *caller, o operation, workers int, grants []tokens) *driver {
	return &driver{caller: c, operation: o, workers: workers, grants: grants, turn: make([]int, workers), lastRate: 500}
}

// grant fills in the grants.
func (d *driver) grant(n int, token func(i int) (tokens, error)) error {
	d.grants = make([]tokens, n)
	return parallel(n, connections, func(i int) (err error) {
		d.grants[i], err = token(i)
		return err
	})
}

// proofs makes fresh proofs of possession, for the access tokens if they are not
// empty.
func (d *driver) proofs(n int, method, target string, access func(i int) string) ([]string, error) {
	if d.prover == nil {
		var err error
		if d.prover, err = newProver(); err != nil {
			return nil, err
		}
	}
	all := make([]string, n)
	return all, parallel(n, connections, func(i int) (err error) {
		all[i], err = d.prover.prove(method, target, access(i))
		return err
	})
}

// run repeats the operation for a while. What it uses up is made before the
// clock starts; when that runs out, the slice ends early.
func (d *driver) run(duration time.Duration) (measurement, error) {
	if d.operation.supply != nil {
		var err error
		if d.stock, err = d.operation.supply(d, int(d.lastRate*duration.Seconds()*1.5)+2*d.workers); err != nil {
			return measurement{}, err
		}
	}
	var next atomic.Int64
	latencies := make([][]time.Duration, d.workers)
	start := time.Now()
	err := parallel(d.workers, d.workers, func(worker int) error {
		for {
			begun := time.Now()
			if begun.Sub(start) >= duration {
				return nil
			}
			n := int(next.Add(1)) - 1
			if d.operation.supply != nil && n >= len(d.stock) {
				return nil
			}
			if err := d.operation.call(d, worker, n); err != nil {
				return fmt.Errorf("%s: %w", d.operation.name, err)
			}
			latencies[worker] = append(latencies[worker], time.Since(begun))
		}
	})
	m := measurement{Elapsed: time.Since(start), Latencies: slices.Concat(latencies...)}
	m.Count = len(m.Latencies)
	slices.Sort(m.Latencies)
	d.lastRate = max(20, m.Rate())
	return m, err
}

// parallel runs f for 0 to n-1 on so many goroutines, and returns what went
// wrong first.
func parallel(n, workers int, f func(i int) error) error {
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make([]error, min(n, workers))
	for w := range errs {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && errs[w] == nil; i = int(next.Add(1)) - 1 {
				errs[w] = f(i)
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
