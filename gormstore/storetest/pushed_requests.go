package storetest

import (
	"net/url"
	"testing"
	"time"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// PushedRequests tests the model R of pushed authorization requests.
func PushedRequests[R any, P gormstore.PushedRequestModel[R]]() Part {
	return Part{
		name: "pushed requests",
		assemble: func(t testing.TB, in *instance) {
			t.Helper()
			requests := must(gormstore.NewPushedRequests[R, P](in.db))(t)
			in.keeps(requests)
			in.pushed = requests
			check(t, in.server.RegisterEndpoint(&endpoint.PushedAuthorizationRequest{Storage: requests, PublicRequests: ratelimit.Unlimited{}}))
		},
		test: func(k *kit, t *testing.T) { k.pushedRequests(t, new(R)) },
	}
}

// push pushes a request, and returns the query of the browser's authorization request.
func (in *instance) push(t testing.TB, c client) string {
	t.Helper()
	a := in.post(in.server.EndpointHandler("pushed_authorization_request"), url.Values{
		"response_type": {"code"}, "redirect_uri": {redirectURI}, "code_challenge": {challenge}, "code_challenge_method": {"S256"}, "state": {oddText},
	}, c)
	if a.RequestURI == "" {
		t.Fatalf("no request_uri: %+v", a)
	}
	return url.Values{"client_id": {c.id}, "request_uri": {a.RequestURI}}.Encode()
}

// pushedRequests: every column is read back, a request is decided on once, and expired
// rows are pruned.
func (k *kit) pushedRequests(t *testing.T, model any) {
	_, in := k.racing(t)
	c := k.publicClient(t)

	t.Run("columns", func(t *testing.T) {
		stored := &models.PushedRequestMixin{}
		fill(stored)
		check(t, in(0).pushed.SavePushedRequest(t.Context(), stored))
		found, err := in(1).pushed.QueryPushedRequest(t.Context(), stored.RequestURI)
		check(t, err)
		if found == nil {
			t.Fatal("the request is not found by its digest")
		}
		same(t, stored, found.(interface {
			AsPushedRequestMixin() *models.PushedRequestMixin
		}).AsPushedRequestMixin())
	})
	t.Run("a request is decided on once", func(t *testing.T) {
		for round := range rounds {
			query := in(round).push(t, c)
			page := in(round).page(query, k.user)
			codes := race(k, 4, func(i int) string {
				_, params := in(round+i).agree(query, page, k.user)
				if state := params.Get("state"); params.Has("code") && state != oddText {
					t.Errorf("the state is returned as %q", state)
				}
				return params.Get("code")
			})
			got := 0
			for _, code := range codes {
				if code != "" {
					got++
				}
			}
			if got != 1 {
				t.Fatalf("one request got %d codes", got)
			}
		}
	})
	t.Run("pruning", func(t *testing.T) {
		before, gone := k.on(t, k.handles[0], at(func() time.Time { return time.Now().Add(-time.Hour) })), k.publicClient(t)
		before.push(t, gone)
		in(0).push(t, c)
		left := k.rows(t, model, c)
		check(t, in(0).prune(t.Context(), gormstore.PruneOptions{}))
		if rows := k.rows(t, model, gone); rows != 0 {
			t.Errorf("%d expired requests are left", rows)
		}
		if rows := k.rows(t, model, c); rows != left {
			t.Errorf("of %d unexpired requests, %d are left", left, rows)
		}
	})
}
