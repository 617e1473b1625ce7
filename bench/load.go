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

// The operations.
const (
	issue    = "issue"    // client credentials
	redeem   = "redeem"   // a code, with PKCE
	refresh  = "refresh"  // rotate a refresh token
	validate = "validate" // call an API
)

var operations = []string{issue, redeem, refresh, validate}

// tokens is what the token endpoint answers.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
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

// do sends a request and returns the status and the body.
func (c *caller) do(method, path string, form url.Values, bearer string) (int, []byte, error) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(context.Background(), method, "http://"+c.address+path, body)
	if err != nil {
		return 0, nil, err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(clientID, clientSecret)
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, text, err
}

// token asks the token endpoint.
func (c *caller) token(form url.Values) (tokens, int, error) {
	status, text, err := c.do(http.MethodPost, "/token", form, "")
	var t tokens
	if err == nil && status == http.StatusOK {
		err = json.Unmarshal(text, &t)
	}
	return t, status, err
}

func (c *caller) mustToken(form url.Values) (tokens, error) {
	t, status, err := c.token(form)
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

// api calls the protected resource.
func (c *caller) api(bearer string) error {
	status, _, err := c.do(http.MethodGet, "/api", nil, bearer)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the API answered with %d", status)
	}
	return err
}

// codes has the contestant make codes.
func (c *caller) codes(n int) ([]string, error) {
	status, text, err := c.do(http.MethodPost, fmt.Sprintf("/seed?codes=%d", n), nil, "")
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

// grants redeems codes, and returns the tokens.
func (c *caller) grants(n int) ([]tokens, error) {
	codes, err := c.codes(n)
	if err != nil {
		return nil, err
	}
	all := make([]tokens, n)
	return all, parallel(n, connections, func(i int) (err error) {
		all[i], err = c.mustToken(codeForm(codes[i]))
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
	operation string
	workers   int
	grants    []tokens // refresh: one for each worker, or as many more; validate: some to choose from
	turn      []int    // refresh: how many calls each worker has made
	lastRate  float64
}

func newDriver(c *caller, operation string, workers int) (*driver, error) {
	d := newSpreadDriver(c, operation, workers, nil)
	var err error
	switch operation {
	case refresh:
		d.grants, err = c.grants(workers)
	case validate:
		d.grants, err = c.grants(50)
	}
	return d, err
}

// newSpreadDriver uses all of the grants, one after the other; at least one for
// each worker.
func newSpreadDriver(c *caller, operation string, workers int, grants []tokens) *driver {
	return &driver{caller: c, operation: operation, workers: workers, grants: grants, turn: make([]int, workers), lastRate: 500}
}

// run repeats the operation for a while. Codes to redeem are made before the
// clock starts; when they run out, the slice ends early.
func (d *driver) run(duration time.Duration) (measurement, error) {
	var codes []string
	if d.operation == redeem {
		var err error
		if codes, err = d.codes(int(d.lastRate*duration.Seconds()*1.5) + 2*d.workers); err != nil {
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
			if d.operation == redeem && n >= len(codes) {
				return nil
			}
			if err := d.call(worker, n, codes); err != nil {
				return err
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

func (d *driver) call(worker, n int, codes []string) (err error) {
	switch d.operation {
	case issue:
		_, err = d.mustToken(credentialsForm())
	case redeem:
		_, err = d.mustToken(codeForm(codes[n]))
	case refresh:
		var t tokens
		i := d.turn[worker]%(len(d.grants)/d.workers)*d.workers + worker // no other worker's
		d.turn[worker]++
		if t, err = d.mustToken(refreshForm(d.grants[i].Refresh)); t.Refresh != "" {
			d.grants[i] = t
		}
	case validate:
		err = d.api(d.grants[n%len(d.grants)].Access)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", d.operation, err)
	}
	return nil
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
