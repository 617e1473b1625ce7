package resource_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// watching observes every request, and whatever it puts into the context is what the
// request goes on with.
type watching struct{ seen []server.Observation }

type watchedKey struct{}

func (w *watching) ObserveRequest(ctx context.Context, _ string) (context.Context, func(server.Observation)) {
	return context.WithValue(ctx, watchedKey{}, true), func(o server.Observation) { w.seen = append(w.seen, o) }
}

// silent observes nothing: it returns no function to call at the end.
type silent struct{}

func (silent) ObserveRequest(ctx context.Context, _ string) (context.Context, func(server.Observation)) {
	return ctx, nil
}

// An API that is observed answers as one that is not, behind each of its middlewares, and its
// observers learn of each answer.
func TestAnObservedAPIAnswersAsAnother(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	signedIn := func(minutesAgo int, acr string) storage.User {
		return server.SignedIn{User: p.User, Authentication: server.Authentication{Time: p.Now.Unix() - 60*int64(minutesAgo), ACR: acr}}
	}
	issue := func(user storage.User) string {
		code := p.Decide(oauthtest.AuthorizeQuery(client, "scope=profile"), "", user).Query.Get("code")
		return p.Redeem(client, code).Body["access_token"]
	}
	good, weak, old := issue(signedIn(0, "phr")), issue(signedIn(0, "pwd")), issue(signedIn(6, "phr"))
	unknown, revoked, expired := issue(p.User), issue(p.User), issue(p.User)
	p.Revoke(client, "token="+revoked)
	require.NoError(t, db.Model(&oauthtest.Token{}).Where("access_token = ?", secret.Digest(expired)).Update("expires_in", 1).Error)
	p.Now = p.Now.Add(time.Second)

	observer := &watching{}
	bearer := gormoauth.CreateBearerTokenValidator[oauthtest.Token](db)
	broken := &failingValidator{}
	protectors := map[string]*resource.Protector{
		"observed":     p.NewProtector(resource.Config{Observers: server.Observers{silent{}, observer}}, bearer, broken),
		"not observed": p.NewProtector(resource.Config{}, bearer, broken),
	}
	const (
		required = iota
		optional
		stepUp
	)
	strong := resource.StepUp{ACRValues: []string{"phr"}, MaxAge: 5 * time.Minute}
	const realm, broke = `Bearer realm="api"`, `Broken realm="api"`
	of := func(code, description string) []string {
		return []string{realm + `, error="` + code + `", error_description="` + description + `"`, broke}
	}
	again := func(description string) []string {
		const how = `, acr_values="phr", max_age="300"`
		return []string{realm + `, error="insufficient_user_authentication", error_description="` + description + `"` + how, broke + how}
	}
	body := func(code, description string) string {
		return `{"error":"` + code + `","error_description":"` + description + `"}`
	}
	malformed, none := "The 'Authorization' header has no well-formed token.", []string{realm, broke}
	for _, row := range []struct {
		rule       string
		middleware int
		scope      []string
		header     []string
		status     int
		challenges []string
		body       string
		code       string
		of         bool // whether the observation is of the client and its user
	}{
		{"a valid token", required, nil, []string{"Bearer " + good}, 200, nil, "reached", "", true},
		{"with its scope", required, []string{"profile"}, []string{"Bearer " + good}, 200, nil, "reached", "", true},
		{"an expired token", required, nil, []string{"Bearer " + expired}, 401, of("invalid_token", "The access token has expired."), body("invalid_token", "The access token has expired."), "invalid_token", true},
		{"a revoked token", required, nil, []string{"Bearer " + revoked}, 401, of("invalid_token", "The access token was revoked."), body("invalid_token", "The access token was revoked."), "invalid_token", true},
		{"an unknown token", required, nil, []string{"Bearer unknown"}, 401, of("invalid_token", "The access token is unknown."), body("invalid_token", "The access token is unknown."), "invalid_token", false},
		{"a token that was cut", required, nil, []string{"Bearer " + good[1:]}, 401, of("invalid_token", "The access token is unknown."), body("invalid_token", "The access token is unknown."), "invalid_token", false},
		{"too little scope", required, []string{"email"}, []string{"Bearer " + good}, 403, []string{realm + `, error="insufficient_scope", error_description="The access token does not have the required scope.", scope="email"`, broke + `, scope="email"`}, body("insufficient_scope", "The access token does not have the required scope."), "insufficient_scope", true},
		{"no token", required, nil, nil, 401, none, "{}", "missing_authorization", false},
		{"no token where one needs scope", required, []string{"email"}, nil, 401, []string{realm + `, scope="email"`, broke + `, scope="email"`}, "{}", "missing_authorization", false},
		{"another scheme", required, nil, []string{"Basic eDp5"}, 401, none, "{}", "missing_authorization", false},
		{"a malformed token", required, nil, []string{"Bearer a b"}, 400, of("invalid_request", malformed), body("invalid_request", malformed), "invalid_request", false},
		{"no token behind the scheme", required, nil, []string{"Bearer "}, 400, of("invalid_request", malformed), body("invalid_request", malformed), "invalid_request", false},
		{"two headers", required, nil, []string{"Bearer " + good, "Bearer " + good}, 400, of("invalid_request", "The request has more than one 'Authorization' header."), body("invalid_request", "The request has more than one 'Authorization' header."), "invalid_request", false},
		{"a failure inside", required, nil, []string{"Broken x"}, 500, nil, body("server_error", "The server could not answer the request."), "server_error", false},

		{"optional: a valid token", optional, nil, []string{"Bearer " + good}, 200, nil, "reached", "", true},
		{"optional: an expired token", optional, nil, []string{"Bearer " + expired}, 401, of("invalid_token", "The access token has expired."), body("invalid_token", "The access token has expired."), "invalid_token", true},
		{"optional: a malformed token", optional, nil, []string{"Bearer "}, 400, of("invalid_request", malformed), body("invalid_request", malformed), "invalid_request", false},
		{"optional: a failure inside", optional, nil, []string{"Broken x"}, 500, nil, body("server_error", "The server could not answer the request."), "server_error", false},

		{"step up: strong and recent", stepUp, nil, []string{"Bearer " + good}, 200, nil, "reached", "", true},
		{"step up: weak", stepUp, nil, []string{"Bearer " + weak}, 401, again("The user must sign in again, with stronger authentication."), body("insufficient_user_authentication", "The user must sign in again, with stronger authentication."), "insufficient_user_authentication", true},
		{"step up: long ago", stepUp, nil, []string{"Bearer " + old}, 401, again("The user must sign in again: the last sign-in was too long ago."), body("insufficient_user_authentication", "The user must sign in again: the last sign-in was too long ago."), "insufficient_user_authentication", true},
		{"step up: of a user of whom nothing is known", stepUp, nil, []string{"Bearer " + unknown}, 401, again("The user must sign in again, with stronger authentication."), body("insufficient_user_authentication", "The user must sign in again, with stronger authentication."), "insufficient_user_authentication", true},
		{"step up: an expired token", stepUp, nil, []string{"Bearer " + expired}, 401, of("invalid_token", "The access token has expired."), body("invalid_token", "The access token has expired."), "invalid_token", true},
		{"step up: no token", stepUp, nil, nil, 401, none, "{}", "missing_authorization", false},
	} {
		for name, protector := range protectors {
			rule := name + ": " + row.rule
			observer.seen = nil
			next := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				token, ok := resource.TokenFromContext(r.Context())
				if assert.True(t, ok, rule) {
					assert.Equal(t, p.User.GetUserID(), token.UserID, rule)
				}
				_, _ = w.Write([]byte("reached"))
			}))
			switch row.middleware {
			case required:
				next = protector.Require(row.scope...)(next)
			case optional:
				next = protector.Optional(row.scope...)(next)
			case stepUp:
				next = protector.Require(row.scope...)(protector.RequireAuthentication(strong)(next))
			}
			r := httptest.NewRequest(http.MethodGet, "/api", http.NoBody)
			r.Header["Authorization"] = row.header
			w := p.Record(next, r)
			assert.Equal(t, row.status, w.Code, rule)
			assert.Equal(t, row.challenges, w.Header()["Www-Authenticate"], rule)
			assert.Equal(t, row.body, w.Body.String(), rule)
			if row.status != http.StatusOK {
				assert.Equal(t, "no-store", w.Header().Get("Cache-Control"), rule)
				assert.Equal(t, "application/json", w.Header().Get("Content-Type"), rule)
			}
			if name == "not observed" {
				assert.Empty(t, observer.seen, rule)
				continue
			}
			require.NotEmpty(t, observer.seen, rule)
			last := observer.seen[len(observer.seen)-1]
			assert.Equal(t, row.code, last.ErrorCode(), rule)
			assert.Equal(t, map[bool]int{true: 0, false: row.status}[row.code == ""], last.Status, "%s: the program writes what is authorized", rule)
			assert.Equal(t, map[bool]string{true: client.ClientID}[row.of], last.ClientID, rule)
			assert.Equal(t, map[bool]string{true: p.User.GetUserID()}[row.of], last.UserID, rule)
			assert.Equal(t, "resource", last.Endpoint, rule)
			assert.NotEmpty(t, last.RequestID, rule)
			assert.NotEmpty(t, last.RemoteAddress, rule)
			assert.Equal(t, row.code == "insufficient_user_authentication", len(observer.seen) == 2, "%s: a sign-in that is too weak is a separate observation", rule)
		}
	}
	assert.True(t, broken.watched, "a token is looked up in the context of the observers")
}

// failingValidator fails, or panics.
type failingValidator struct {
	resource.BearerTokenValidator
	watched, panics bool
}

func (*failingValidator) TokenType() string { return "Broken" }

func (v *failingValidator) AuthenticateToken(ctx context.Context, _ string) (*storage.StoredToken, error) {
	v.watched = v.watched || ctx.Value(watchedKey{}) == true
	if v.panics {
		panic("no disk")
	}
	return nil, errors.New("the disk is on fire")
}

func (*failingValidator) ValidateToken(*storage.StoredToken, []string, *http.Request, time.Time) error {
	return nil
}

// A panic reaches the program's own middleware, and the observers learn of it.
func TestAPanicOfAValidatorIsObserved(t *testing.T) {
	observer := &watching{}
	protector, err := resource.NewProtector(resource.Config{Observers: server.Observers{observer}}, &failingValidator{panics: true})
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodGet, "/api", http.NoBody)
	r.Header.Set("Authorization", "Broken x")
	reached := protector.Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a panic opened the API") }))
	assert.PanicsWithValue(t, "no disk", func() { reached.ServeHTTP(httptest.NewRecorder(), r) })
	require.Len(t, observer.seen, 1)
	assert.Equal(t, http.StatusInternalServerError, observer.seen[0].Status)
	assert.True(t, observer.seen[0].Failed())
}
