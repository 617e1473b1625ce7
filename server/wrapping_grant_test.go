package server_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
)

// wrapping gives a code, and something beside it.
type wrapping struct{ code server.AuthorizationGrant }

func (*wrapping) ResponseTypes() []string                   { return []string{"code more"} }
func (*wrapping) ResponseMode() string                      { return "query" }
func (w *wrapping) WrappedGrant() server.AuthorizationGrant { return w.code }
func (w *wrapping) Authorize(ctx context.Context, req *server.Request) (map[string][]string, error) {
	return w.code.Authorize(ctx, req)
}

// marking is an extension that refuses codes, and says which it is.
type marking struct{ name string }

func (m *marking) PrepareAuthorizationCode(context.Context, *server.Request, *models.AuthorizationCodeMixin) error {
	return server.NewError(server.InvalidRequest, m.name)
}

// What holds for a grant holds for one that wraps it, in whatever order the two are
// registered.
func TestAGrantThatWrapsAnotherHasItsExtensions(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	code := func() *grant.AuthorizationCode {
		return gormoauth.CreateAuthorizationCodeGrant[oauthtest.AuthorizationCode](db)
	}
	codes, other := code(), code()
	for rule, c := range map[string]struct {
		register func(s *server.Server) error
		plain    bool   // whether a plain challenge will do
		marked   string // by which extension a code is refused
	}{
		"its default ones": {func(s *server.Server) error { return s.RegisterGrant(&wrapping{codes}) }, false, ""},
		"those that it was registered with": {func(s *server.Server) error {
			return errors.Join(s.RegisterGrant(codes, grant.CodeChallenge{AllowPlain: true}, &marking{"code"}), s.RegisterGrant(&wrapping{codes}))
		}, true, "code"},
		"also where it comes later": {func(s *server.Server) error {
			return errors.Join(s.RegisterGrant(&wrapping{codes}), s.RegisterGrant(codes, &grant.CodeChallenge{AllowPlain: true}, &marking{"code"}))
		}, true, "code"},
		"also where another value redeems the codes": {func(s *server.Server) error {
			return errors.Join(s.RegisterGrant(&wrapping{other}), s.RegisterGrant(codes, &marking{"code"}))
		}, false, "code"},
		"but for one of the same type of its own": {func(s *server.Server) error {
			return errors.Join(s.RegisterGrant(&wrapping{codes}, &marking{"own"}), s.RegisterGrant(codes, grant.CodeChallenge{AllowPlain: true}, &marking{"code"}))
		}, true, "own"},
	} {
		t.Run(rule, func(t *testing.T) {
			p := oauthtest.New(t, db)
			require.NoError(t, c.register(p.Server))
			client := p.NewClient(func(c *oauthtest.Client) { c.ClientMetadata.ResponseTypes = []string{"code", "code more"} })
			for _, more := range []string{"", "&code_challenge=" + oauthtest.Verifier, "&code_challenge_method=S256&code_challenge=" + oauthtest.Challenge} {
				a := p.Grant("response_type=code+more&client_id=" + client.ClientID + more)
				switch {
				case more == "", !c.plain && more == "&code_challenge="+oauthtest.Verifier:
					assert.Contains(t, a.Query.Get("error_description"), "code_challenge", more)
				case c.marked != "":
					assert.Equal(t, c.marked, a.Query.Get("error_description"), more)
				default:
					require.NotEmpty(t, a.Query.Get("code"), "%s: %s", more, a.Raw)
					assert.Equal(t, server.InvalidGrant, p.Token(client, "grant_type=authorization_code&code="+a.Query.Get("code")).Body["error"])
				}
			}
		})
	}
}

// What the other grant lacks is found when the one that wraps it is registered.
func TestAGrantThatWrapsAnotherIsCheckedWithIt(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	bad := &wrapping{&grant.AuthorizationCode{}}
	require.ErrorContains(t, oauthtest.New(t, db).Server.RegisterGrant(bad), "AuthorizationCode.SaveAuthorizationCode is missing")
	var srv server.Server
	require.NoError(t, srv.RegisterGrant(bad))
	require.ErrorContains(t, srv.Init(server.Config{}), "AuthorizationCode.SaveAuthorizationCode is missing")
}
