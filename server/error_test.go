package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/storage"
)

func TestStorageThatIsBusyMayBeAskedAgain(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	good := oauthtest.New(t, db)
	client, code := good.NewClient(nil), ""
	code = good.Code(client, "")
	p := oauthtest.New(t, db, func(c *server.Config) {
		c.QueryUser = func(context.Context, string) (storage.User, error) {
			return nil, fmt.Errorf("%w: the disk is on fire", storage.ErrUnavailable)
		}
	})
	a := p.Redeem(client, code)
	assert.Equal(t, http.StatusServiceUnavailable, a.Status)
	assert.Equal(t, "temporarily_unavailable", a.Body["error"])
	assert.Equal(t, "1", a.Header.Get("Retry-After"))
	assert.NotContains(t, a.Raw, "fire")
	a = p.Grant(oauthtest.AuthorizeQuery(client, "state=s"))
	assert.Equal(t, oauthtest.RedirectURI, a.To)
	assert.Equal(t, "temporarily_unavailable", a.Query.Get("error"), "RFC 6749 section 4.1.2.1")
	assert.Equal(t, "s", a.Query.Get("state"))
	assert.Equal(t, http.StatusOK, good.Redeem(client, code).Status, "nothing was spent")
}

func TestNobodyIsAlarmedByAClientThatHungUp(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	var log bytes.Buffer
	p := oauthtest.New(t, db, func(c *server.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		c.QueryUser = func(context.Context, string) (storage.User, error) {
			return nil, fmt.Errorf("query: %w", context.Canceled)
		}
	})
	client := p.NewClient(nil)
	a := p.Grant(oauthtest.AuthorizeQuery(client, ""))
	assert.Empty(t, a.Params()["code"])
	assert.NotContains(t, log.String(), "level=ERROR")
}

func TestEveryoneWhoIsToComeAgainIsToldWhen(t *testing.T) {
	for _, failure := range []*server.Error{
		server.NewError(server.TemporarilyUnavailable, "The tea is being made."), server.AsError(storage.ErrUnavailable),
		server.TooBusy(time.Second, "Many are here."), server.AsError(ratelimit.ErrBusy),
	} {
		assert.Equal(t, http.StatusServiceUnavailable, failure.Status, failure)
		assert.Equal(t, "1", failure.Header.Get("Retry-After"), failure)
	}
}

func TestStatusOfAnError(t *testing.T) {
	for code, status := range map[string]int{
		server.InvalidRequest: 400, server.InvalidClient: 400, server.InvalidGrant: 400, server.UnauthorizedClient: 400,
		server.UnsupportedGrantType: 400, server.UnsupportedResponseType: 400, server.InvalidScope: 400, server.AccessDenied: 400,
		server.UnsupportedTokenType: 400, server.MissingAuthorization: 401, server.InvalidToken: 401, server.InsufficientScope: 403,
		server.ServerError: 500, server.TemporarilyUnavailable: 503, "a code of the program's own": 400,
	} {
		assert.Equal(t, status, server.NewError(code, "").Status, code)
	}
	inside := errors.New("the disk is on fire")
	failure := server.AsError(fmt.Errorf("save: %w", inside))
	assert.ErrorIs(t, failure, inside, "the log has the cause")
	assert.NotContains(t, failure.Text(), "fire", "the client has not")
	own := server.NewError(server.InvalidGrant, "No %s.", "luck")
	assert.Same(t, own, server.AsError(fmt.Errorf("wrapped: %w", own)))
	assert.EqualError(t, own, "invalid_grant: No luck.")
}

// A page that shows errors can ask whether one is to be sent on.
func TestRedirectURIOfAnError(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	for query, want := range map[string]string{
		"response_type=magic&client_id=" + client.ClientID:                                   oauthtest.RedirectURI,
		"response_type=magic&redirect_uri=https://evil.example&client_id=" + client.ClientID: "",
		"response_type=magic&client_id=nobody&redirect_uri=" + oauthtest.RedirectURI:         "",
	} {
		_, err := p.Server.GetConsentGrant(get("/oauth/authorize?"+query), nil)
		require.Error(t, err)
		assert.Equal(t, want, p.Server.RedirectURI(err), query)
	}
}

// An error by itself knows nothing of the request that it answered, so that it cannot take another
// one's answer to a client.
func TestAnErrorKnowsNothingOfItsRequest(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	request := get("/oauth/authorize?response_type=magic&state=mine&client_id=" + p.NewClient(nil).ClientID)
	_, err := p.Server.GetConsentGrant(request, nil)

	sent := httptest.NewRecorder()
	p.Server.WriteError(sent, request, fmt.Errorf("wrapped: %w", err))
	assert.Equal(t, http.StatusFound, sent.Code)
	to, err2 := url.Parse(sent.Header().Get("Location"))
	require.NoError(t, err2)
	assert.Equal(t, []string{"unsupported_response_type", "mine"}, []string{to.Query().Get("error"), to.Query().Get("state")})

	shown := httptest.NewRecorder()
	p.Server.WriteError(shown, request, server.AsError(err))
	assert.Equal(t, http.StatusBadRequest, shown.Code)
	assert.Empty(t, shown.Header().Get("Location"))
	assert.NotContains(t, shown.Body.String(), "mine")
	assert.Contains(t, shown.Body.String(), "unsupported_response_type")
}

// failing is a value with every hook that can fail, of which one does.
type failing struct {
	at  string
	err error
}

func (f failing) fail(at string) error {
	if f.at == at {
		return f.err
	}
	return nil
}

func (f failing) CheckAuthorizationRequest(context.Context, *server.Request) error {
	return f.fail("request")
}

func (f failing) PrepareAuthorizationCode(context.Context, *server.Request, *models.AuthorizationCodeMixin) error {
	return f.fail("code")
}

func (f failing) PrepareAuthorizationResponse(context.Context, *server.Request, map[string][]string) error {
	return f.fail("response")
}

func (f failing) CheckIssuance(context.Context, *server.Request, *server.Issuance) error {
	return f.fail("issuance")
}

func (f failing) PrepareToken(context.Context, *server.Request, *models.TokenMixin) error {
	return f.fail("token")
}

func (f failing) PrepareTokenResponse(context.Context, *server.Request, *models.TokenMixin, *server.TokenResponse) error {
	return f.fail("token response")
}

func TestAHookThatFailsEndsTheRequest(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	good := oauthtest.New(t, db)
	client := good.NewClient(nil)
	for _, at := range []string{"request", "code", "response", "issuance", "token", "token response"} {
		for want, err := range map[string]error{
			"invalid_target": server.NewError("invalid_target", "The 'resource' is none of ours."),
			"server_error":   errors.New("the disk is on fire"),
		} {
			p := oauthtest.New(t, db)
			require.NoError(t, p.Server.Register(failing{at, err}))
			before, code := p.Rows(&oauthtest.Token{}), good.Code(client, "")
			a := p.Redeem(client, code)
			if at == "request" || at == "code" || at == "response" {
				a = p.Grant(oauthtest.AuthorizeQuery(client, "state=s"))
				assert.Equal(t, oauthtest.RedirectURI, a.To, at)
				assert.Equal(t, "s", a.Query.Get("state"), at)
			} else {
				assert.Equal(t, before, p.Rows(&oauthtest.Token{}), "%s: nothing is stored", at)
				assert.Equal(t, http.StatusOK, good.Redeem(client, code).Status, "%s: and nothing spent", at)
			}
			assert.Equal(t, want, a.Params()["error"], at)
			assert.Empty(t, a.Params()["code"]+a.Params()["access_token"], at)
			assert.NotContains(t, a.Raw+a.Header.Get("Location"), "fire", at)
		}
	}
}
