package soak

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gormoauth/gormoauth/internal/history"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/budget"
)

// client is an instance as a client sees it, over HTTP. It may be called by
// many goroutines, and the instance may come back at another address.
type client struct {
	t       *testing.T
	address atomic.Value // string
	http    *http.Client
}

// longestAnswer is the storage budget of a request, that of a COMMIT, and a margin for a machine
// that does much else.
const longestAnswer = 2*budget.Default + 6*time.Second

func newClient(t *testing.T) *client {
	t.Helper()
	return &client{t: t, http: &http.Client{
		Timeout:       20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// send makes a request. The answer is nil when there was none.
func (c *client) send(method, path string, form url.Values, bearer string) *http.Response {
	address, _ := c.address.Load().(string)
	r, err := http.NewRequestWithContext(context.Background(), method, "http://"+address+path, strings.NewReader(form.Encode()))
	if err != nil {
		c.t.Error(err)
		return nil
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	begin := time.Now()
	response, err := c.http.Do(r)
	if took := time.Since(begin); took > longestAnswer {
		c.t.Errorf("%s took %v", path, took)
	}
	if err != nil {
		return nil
	}
	return response
}

// ask makes a call and reads what the client learns of it.
func (c *client) ask(method, path string, form url.Values, bearer string) history.Answer {
	unknown := history.Answer{Outcome: history.Unknown}
	response := c.send(method, path, form, bearer)
	if response == nil {
		return unknown
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized:
		return history.Answer{Outcome: history.Refused}
	case http.StatusOK:
	case http.StatusServiceUnavailable:
		if response.Header.Get("Retry-After") == "" {
			c.t.Errorf("%s: 503 without Retry-After", path)
		}
		return unknown
	default:
		c.t.Errorf("%s is answered with %s", path, response.Status)
		return unknown
	}
	if path != "/token" {
		return history.Answer{Outcome: history.Done}
	}
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if json.NewDecoder(response.Body).Decode(&tokens) != nil {
		return unknown // it died while it answered
	}
	return history.Answer{Outcome: history.Done, Access: tokens.Access, Refresh: tokens.Refresh}
}

// Authorize gets a code, empty when it cannot.
func (c *client) Authorize() string {
	query := url.Values{"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {redirectURI},
		"code_challenge": {oauthtest.Challenge}, "code_challenge_method": {"S256"}}
	page := c.send(http.MethodGet, "/authorize?"+query.Encode(), nil, "")
	if page == nil {
		return ""
	}
	defer page.Body.Close()
	decision, err := io.ReadAll(page.Body)
	if err != nil {
		return ""
	}
	response := c.send(http.MethodPost, "/authorize?"+query.Encode(), url.Values{server.DecisionField: {string(decision)}, server.ConfirmField: {"yes"}}, "")
	if response == nil {
		return ""
	}
	defer response.Body.Close()
	location, err := response.Location()
	if err != nil {
		return ""
	}
	return location.Query().Get("code")
}

// Redeem exchanges a code.
func (c *client) Redeem(code string) history.Answer {
	return c.ask(http.MethodPost, "/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {clientID}, "code": {code},
		"redirect_uri": {redirectURI}, "code_verifier": {oauthtest.Verifier}}, "")
}

// Rotate exchanges a refresh token.
func (c *client) Rotate(refresh string) history.Answer {
	return c.ask(http.MethodPost, "/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {clientID}, "refresh_token": {refresh}}, "")
}

// Revoke revokes a token.
func (c *client) Revoke(token string) history.Answer {
	return c.ask(http.MethodPost, "/revoke", url.Values{"client_id": {clientID}, "token": {token}}, "")
}

// Validate uses an access token.
func (c *client) Validate(access string) history.Answer {
	return c.ask(http.MethodGet, "/api", nil, access)
}

// control turns the instance's clock or fills its disk.
func (c *client) control(path string) {
	response := c.send(http.MethodPost, path, nil, "")
	if response == nil {
		c.t.Errorf("%s is not answered", path)
		return
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		c.t.Errorf("%s is answered with %s", path, response.Status)
	}
}
