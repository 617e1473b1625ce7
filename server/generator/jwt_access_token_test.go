package generator_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/generator"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/secret"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// What a JWT is like, and who takes it, is tested in server/resource.
func TestClaimsOfTheProgramsOwn(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	jwt := &generator.JWTAccessToken{}
	p := oauthtest.New(t, db, func(c *server.Config) { c.AccessTokenGenerator = jwt.Generate })
	service := p.NewClient(oauthtest.Grants("client_credentials"))
	issue := func() (oauthtest.Answer, map[string]any) {
		a := p.Token(service, "grant_type=client_credentials")
		if a.Status != http.StatusOK {
			return a, nil
		}
		text, err := base64.RawURLEncoding.DecodeString(strings.Split(a.Body["access_token"], ".")[1])
		require.NoError(t, err)
		var claims map[string]any
		require.NoError(t, json.Unmarshal(text, &claims))
		return a, claims
	}
	a, _ := issue()
	assert.Equal(t, http.StatusInternalServerError, a.Status, "nothing is signed without keys")
	jwt.Keys = gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{})
	a, _ = issue()
	assert.Equal(t, server.InvalidTarget, a.Body["error"], "a token is for somebody")
	jwt.Audience = "https://api.example"
	jwt.Claims = func(_ context.Context, input server.TokenInput) (map[string]any, error) {
		return map[string]any{
			"roles": []string{"reader"}, "client_name": input.Client.GetClientID(),
			"iss": "x", "sub": "x", "aud": "x", "exp": 1, "iat": 1, "jti": "x", "client_id": "x", "scope": "admin", "acr": "x", "amr": "x", "auth_time": 1, "cnf": "x",
		}, nil
	}
	_, claims := issue()
	assert.Equal(t, []any{"reader"}, claims["roles"])
	assert.Equal(t, service.ClientID, claims["client_name"])
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "acr", "amr", "auth_time", "cnf"} {
		assert.NotContains(t, []any{"x", "admin", 1.0}, claims[name], "what RFC 9068 names is not the program's to say: %s", name)
	}
	jwt.Claims = func(context.Context, server.TokenInput) (map[string]any, error) {
		return nil, errors.New("roles are out of reach")
	}
	a, _ = issue()
	assert.Equal(t, http.StatusInternalServerError, a.Status)
	assert.NotContains(t, a.Raw, "roles")
	assert.Contains(t, fmt.Sprint(a.Log()), "roles are out of reach")
}

// Claims of a program's own that have the name of one of the protocol, or its lookalike, are
// left out, and the log has which; all others are there as they are.
func TestClaimsThatCollideWithTheProtocol(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	jwt := &generator.JWTAccessToken{Audience: "https://api.example", Keys: gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{})}
	p := oauthtest.New(t, db, func(c *server.Config) { c.AccessTokenGenerator = jwt.Generate })
	service := p.NewClient(oauthtest.Grants("client_credentials"))
	protocol := []string{"iss", "aud", "client_id", "sub", "iat", "exp", "nbf", "jti", "scope", "auth_time", "acr", "amr", "act", "authorization_details", "cnf"}
	for _, claim := range protocol {
		own := map[string]any{claim: "mine", strings.ToUpper(claim): "mine", claim + "#ja": "mine", "my_" + claim: "kept", claim + "s": "kept", "roles": "kept"}
		if folded := strings.NewReplacer("s", "\u017f", "k", "\u212a").Replace(claim); folded != claim {
			own[folded] = "mine"
		}
		var colliding []string
		for name, whose := range own {
			if whose == "mine" {
				colliding = append(colliding, name)
			}
		}
		jwt.Claims = func(context.Context, server.TokenInput) (map[string]any, error) { return own, nil }
		a := p.Token(service, "grant_type=client_credentials&scope=profile")
		require.Equal(t, http.StatusOK, a.Status, a.Raw)
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(a.Body["access_token"], ".")[1])
		require.NoError(t, err)
		assert.NotContains(t, string(payload), "mine", claim)
		assert.Equal(t, len(own)-len(colliding), strings.Count(string(payload), `"kept"`), "%s: %s", claim, payload)
		assert.Len(t, own, 3+len(colliding), "what the program made is not changed")
		require.Len(t, a.Log(), 1)
		line := a.Log()[0]
		assert.Equal(t, slog.LevelDebug, line.Level)
		assert.True(t, line.Has("from", "generator.JWTAccessToken.Claims", "client_id", service.ClientID), line)
		slices.Sort(colliding)
		assert.Equal(t, colliding, strings.Fields(line.Keys["claims"]), claim)
	}
	jwt.Claims = func(context.Context, server.TokenInput) (map[string]any, error) {
		return map[string]any{"roles": "kept"}, nil
	}
	assert.Empty(t, p.Token(service, "grant_type=client_credentials").Log())
}

// One API takes signed JWTs, and another one asks the server: what a token is like, its
// resource decides.
func TestATokenIsMadeForItsResource(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		const signed, opaque, other = "https://signed.example", "https://opaque.example", "https://other.example/v1"
		p := oauthtest.New(t, db, func(c *server.Config) {
			c.RefreshTokenGrace, c.RefreshTokenKey = time.Minute, []byte(strings.Repeat("k", 32)) // which a derived token would undo
		})
		keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{})
		require.NoError(t, p.Server.Register(grant.ResourceIndicators{Resources: []string{signed, opaque, other}}))
		p.Server.RegisterResourceTokenGenerator(signed+"/", func(context.Context, server.TokenInput) (string, error) { return "replaced", nil })
		p.Server.RegisterResourceTokenGenerator(signed, (&generator.JWTAccessToken{Keys: keys}).Generate)
		p.Server.RegisterResourceTokenGenerator(other, func(context.Context, server.TokenInput) (string, error) {
			return secret.Generate("other", secret.AccessToken), nil
		})
		client := p.NewClient(func(c *oauthtest.Client) {
			c.ClientMetadata.GrantTypes = append(c.ClientMetadata.GrantTypes, "client_credentials")
		})
		kind := func(a oauthtest.Answer) string {
			require.Equal(t, http.StatusOK, a.Status, a.Raw)
			token := a.Body["access_token"]
			assert.True(t, p.Valid(token), "and is known")
			if parts := strings.Split(token, "."); len(parts) == 3 {
				return "JWT"
			}
			prefix, _, _ := strings.Cut(token, "_")
			return prefix
		}
		ask := func(resources ...string) string { return url.Values{"resource": resources}.Encode() }
		for _, row := range []struct {
			resources []string
			want      string
		}{
			{nil, "goa"}, {[]string{opaque}, "goa"}, {[]string{signed}, "JWT"}, {[]string{signed + ":443/"}, "JWT"}, {[]string{other}, "other"},
			{[]string{opaque, signed}, "JWT"}, {[]string{opaque, other}, "other"}, {[]string{other, signed, opaque}, "JWT"},
		} {
			assert.Equal(t, row.want, kind(p.Redeem(client, p.Code(client, ask(row.resources...)))), "%v", row.resources)
			assert.Equal(t, row.want, kind(p.Token(client, "grant_type=client_credentials&"+ask(row.resources...))), "%v", row.resources)
		}
		both := p.Redeem(client, p.Code(client, ask(signed, opaque)))
		narrow := p.Refresh(client, both.Body["refresh_token"], "&"+ask(opaque))
		assert.Equal(t, "goa", kind(narrow), "of a refresh that narrows it, too")
		assert.Equal(t, "JWT", kind(p.Refresh(client, narrow.Body["refresh_token"], "&"+ask(signed))))
	})
}

// What the record of a token says is in the JWT under the name that RFC 9068 section 2.2, RFC 8693
// section 4.1, RFC 9396 section 9.1 and RFC 7800 section 3.1 give it, and not if it says nothing.
func TestWhatTheRecordSaysIsInTheToken(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	jwt := &generator.JWTAccessToken{Audience: "https://default.example", Keys: gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{})}
	var says func(*models.TokenMixin)
	p := oauthtest.New(t, db, func(c *server.Config) {
		c.AccessTokenGenerator = func(ctx context.Context, input server.TokenInput) (string, error) {
			record := *input.Record
			record.IssuedAt, record.ExpiresIn = 1_000, 60
			says(&record)
			input.Record, input.ID = &record, "id"
			return jwt.Generate(ctx, input)
		}
	})
	service := p.NewClient(oauthtest.Grants("client_credentials"))
	issue := func() map[string]any {
		a := p.Token(service, "grant_type=client_credentials")
		require.Equal(t, http.StatusOK, a.Status, a.Raw)
		var header, claims map[string]any
		for i, part := range []*map[string]any{&header, &claims} {
			text, err := base64.RawURLEncoding.DecodeString(strings.Split(a.Body["access_token"], ".")[i])
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(text, part))
		}
		assert.Equal(t, "at+jwt", header["typ"])
		for name, value := range map[string]any{"iss": oauthtest.Issuer, "client_id": service.ClientID, "sub": service.ClientID, "iat": 1000.0, "exp": 1060.0, "jti": "id"} {
			assert.Equal(t, value, claims[name], name)
			delete(claims, name)
		}
		return claims
	}
	optional := map[string]any{
		"scope": "read", "auth_time": 1.0, "acr": "gold", "amr": []any{"pwd", "otp"}, "act": map[string]any{"sub": "agent"},
		"authorization_details": []any{map[string]any{"type": "payment"}}, "cnf": map[string]any{"jkt": "x"},
	}
	says = func(record *models.TokenMixin) {
		record.Scope, record.AuthTime, record.ACR, record.AMR, record.Actor, record.AuthorizationDetails, record.Confirmation = "", 0, "", "", "", "", ""
	}
	assert.Equal(t, map[string]any{"aud": []any{"https://default.example"}}, issue())
	says = func(record *models.TokenMixin) {
		record.Audience = "https://a.example https://b.example"
		record.Scope, record.AuthTime, record.ACR, record.AMR = "read", 1, "gold", "pwd otp"
		record.Actor, record.AuthorizationDetails, record.Confirmation = `{"sub":"agent"}`, `[{"type":"payment"}]`, `{"jkt":"x"}`
	}
	optional["aud"] = []any{"https://a.example", "https://b.example"}
	assert.Equal(t, optional, issue())
}
