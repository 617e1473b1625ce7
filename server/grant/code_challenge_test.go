package grant_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
)

func TestCodeChallengeOfAnAuthorizationRequest(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	const ok, refused = "", "invalid_request"
	s256 := "code_challenge_method=S256&code_challenge=" + oauthtest.Challenge
	plain := "code_challenge=" + strings.Repeat("p", 43)
	for _, row := range []struct {
		rule      string
		extension grant.CodeChallenge
		pkce      server.PKCE
		query     string
		want      string
	}{
		{"S256 is accepted", grant.CodeChallenge{}, "", s256, ok},
		{"without OpenID Connect no nonce takes its place", grant.CodeChallenge{}, "", "scope=openid&nonce=n", refused},
		{"it is demanded", grant.CodeChallenge{}, server.PKCERequired, "", refused},
		{"or optional", grant.CodeChallenge{}, server.PKCEOptional, "", ok},
		{"plain is refused", grant.CodeChallenge{}, "", plain + "&code_challenge_method=plain", refused},
		{"also as the default method", grant.CodeChallenge{}, "", plain, refused},
		{"plain is accepted by option", grant.CodeChallenge{AllowPlain: true}, "", plain, ok},
		{"there is no other method", grant.CodeChallenge{AllowPlain: true}, "", plain + "&code_challenge_method=S128", refused},
		{"a method needs a challenge", grant.CodeChallenge{}, server.PKCEOptional, "code_challenge_method=S256", refused},
		{"a challenge has at least 43 characters", grant.CodeChallenge{AllowPlain: true}, "", "code_challenge=abc", refused},
		{"and at most 128", grant.CodeChallenge{AllowPlain: true}, "", "code_challenge=" + strings.Repeat("p", 129), refused},
		{"of the unreserved ones", grant.CodeChallenge{AllowPlain: true}, "", "code_challenge=" + strings.Repeat("%2B", 43), refused},
		{"one of S256 has 43", grant.CodeChallenge{}, "", s256 + "x", refused},
	} {
		t.Run(row.rule, func(t *testing.T) {
			p := oauthtest.New(t, db, func(c *server.Config) { c.PKCE = row.pkce })
			require.NoError(t, p.Server.RegisterGrant(gormoauth.CreateAuthorizationCodeGrant[oauthtest.AuthorizationCode](db), row.extension))
			client := p.NewClient(func(c *oauthtest.Client) { c.ClientMetadata.Scope = "openid" })
			a := p.Consent("response_type=code&client_id=" + client.ClientID + "&" + row.query)
			assert.Equal(t, row.want, a.Query.Get("error"))
			assert.Equal(t, row.want == ok, a.Status == http.StatusOK)
		})
	}
}

func optionalPKCE(c *server.Config) { c.PKCE = server.PKCEOptional }

func TestCodeVerifier(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), testCodeVerifier)
}

func testCodeVerifier(t *testing.T, db *gorm.DB) {
	p := oauthtest.New(t, db, optionalPKCE)
	require.NoError(t, p.Server.RegisterGrant(gormoauth.CreateAuthorizationCodeGrant[oauthtest.AuthorizationCode](db), grant.CodeChallenge{AllowPlain: true}))
	client := p.NewClient(nil)
	s256 := "code_challenge_method=S256&code_challenge=" + oauthtest.Challenge
	plain := "code_challenge=" + oauthtest.Verifier
	for _, row := range []struct{ rule, challenge, verifier, want string }{
		{"the verifier of the challenge is right", s256, oauthtest.Verifier, ""},
		{"also by plain", plain, oauthtest.Verifier, ""},
		{"of up to 128 characters", "code_challenge=" + strings.Repeat("~", 128), strings.Repeat("~", 128), ""},
		{"another by plain is wrong", plain, strings.Repeat("x", 43), "invalid_grant"},
		{"other letters are another one", plain, strings.ToLower(oauthtest.Verifier), "invalid_grant"},
		{"a long one is malformed", s256, strings.Repeat("x", 129), "invalid_request"},
		{"so is one with a space", s256, oauthtest.Verifier + "+", "invalid_request"},
		{"a method that nobody named is plain's", "code_challenge=" + oauthtest.Challenge, oauthtest.Verifier, "invalid_grant"},
		{"neither needs none", "", "", ""},
		{"a challenge needs its verifier", s256, "", "invalid_grant"},
		{"another verifier is wrong", s256, strings.Repeat("x", 43), "invalid_grant"},
		{"the challenge is not its verifier", s256, oauthtest.Challenge, "invalid_grant"},
		{"a short one is malformed", s256, "short", "invalid_request"},
		{"a verifier without a challenge is refused", "", oauthtest.Verifier, "invalid_request"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			p.T = t
			code := p.Grant("response_type=code&client_id=" + client.ClientID + "&" + row.challenge).Query.Get("code")
			a := p.Token(client, "grant_type=authorization_code&code="+code+"&code_verifier="+row.verifier)
			assert.Equal(t, row.want, a.Body["error"], a.Raw)
		})
	}
}

// An extension that is given takes the place of the default, as a pointer, too.
func TestAGivenExtensionTakesThePlaceOfTheDefault(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	require.NoError(t, p.Server.RegisterGrant(gormoauth.CreateAuthorizationCodeGrant[oauthtest.AuthorizationCode](db),
		&grant.CodeChallenge{AllowPlain: true}))
	client := p.NewClient(nil)
	assert.Equal(t, http.StatusOK, p.Consent("response_type=code&client_id="+client.ClientID+"&code_challenge="+strings.Repeat("p", 43)).Status)
}

// Whoever guesses wrong neither gets a token nor spoils the client's code.
func TestAWrongVerifierSpendsNothing(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		client := p.NewClient(oauthtest.Public)
		code := p.Code(client, "")
		for _, verifier := range []string{"", "&code_verifier=short", "&code_verifier=" + strings.Repeat("x", 43)} {
			a := p.Token(client, "grant_type=authorization_code&code="+code+verifier)
			assert.Equal(t, http.StatusBadRequest, a.Status, verifier)
			assert.Empty(t, a.Body["access_token"], verifier)
		}
		assert.Equal(t, http.StatusOK, p.Redeem(client, code).Status)
	})
}

// A database that lost the method must not make the challenge its own
// verifier.
func TestAChallengeOfAnUnknownMethodMatchesNothing(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(t, db)
	client := p.NewClient(nil)
	for _, method := range []string{"", "s256", "S512"} {
		code := p.Code(client, "")
		require.NoError(t, db.Model(&oauthtest.AuthorizationCode{}).Where("redeemed_at = 0").Update("code_challenge_method", method).Error)
		for _, verifier := range []string{oauthtest.Verifier, oauthtest.Challenge} {
			a := p.Token(client, "grant_type=authorization_code&code="+code+"&code_verifier="+verifier)
			assert.Equal(t, "invalid_grant", a.Body["error"], method)
		}
	}
}
