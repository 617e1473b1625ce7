package resource_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/dpop"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/storage"
)

// A protector is told of what is wrong with it, and of nothing else.
func TestAProtectorIsDiagnosed(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	inPublic := oauthtest.New(t, db).Server
	atHome := oauthtest.New(t, db, func(c *server.Config) { c.Issuer = "http://127.0.0.1:8080" }).Server
	keys := fixedKeys{}
	finds := func(context.Context, storage.TokenQuery) (*storage.StoredToken, error) {
		return &storage.StoredToken{Token: &models.TokenMixin{}}, nil
	}
	fails := func(context.Context, storage.TokenQuery) (*storage.StoredToken, error) {
		return nil, errors.New("away")
	}
	bearer := func(query storage.QueryTokenFunc) *resource.BearerTokenValidator {
		return &resource.BearerTokenValidator{QueryToken: query}
	}
	jwts := func(audience string, query storage.QueryTokenFunc, opaque *resource.BearerTokenValidator) *resource.JWTAccessTokenValidator {
		return &resource.JWTAccessTokenValidator{Issuer: oauthtest.Issuer, Audience: audience, Keys: keys, QueryToken: query, Opaque: opaque}
	}
	bound := func(tokens resource.TokenValidator) *resource.DPoPTokenValidator {
		return &resource.DPoPTokenValidator{Tokens: tokens, BaseURL: api, Proofs: dpop.Proofs{Replays: noReplays{}}}
	}
	anyResource := finding.Finding{
		Check: "resource", Severity: finding.Warning, Where: "resource.Config.Metadata", Problem: "is missing: the protector accepts tokens for any resource",
		Consequence: "another API that receives a token can use it at this one",
		Remedy:      `Metadata: &resource.Metadata{Resource: "https://api.example.com", AuthorizationServers: []string{issuer}}, and grant.ResourceIndicators on the server`,
	}
	const where = "resource.BearerTokenValidator.QueryToken"
	found, failed := finding.LookUpFinds(where), finding.LookUpFails(where, errors.New("away"))
	own := &resource.Metadata{Resource: api, AuthorizationServers: []string{oauthtest.Issuer}}
	for name, row := range map[string]struct {
		validators []resource.TokenValidator
		metadata   *resource.Metadata
		server     *server.Server
		want       finding.List
	}{
		"sound":                                {[]resource.TokenValidator{bearer(noToken)}, own, inPublic, nil},
		"bearer tokens of any resource":        {[]resource.TokenValidator{bearer(noToken)}, nil, inPublic, finding.List{anyResource}},
		"bearer tokens at home":                {[]resource.TokenValidator{bearer(noToken)}, nil, atHome, nil},
		"JWTs of any resource":                 {[]resource.TokenValidator{jwts("", nil, nil)}, nil, inPublic, finding.List{anyResource}},
		"JWTs of a resource":                   {[]resource.TokenValidator{jwts(api, nil, nil)}, nil, inPublic, nil},
		"JWTs of a resource, and others":       {[]resource.TokenValidator{jwts(api, nil, bearer(noToken))}, nil, inPublic, finding.List{anyResource}},
		"bound tokens of any resource":         {[]resource.TokenValidator{bound(bearer(noToken))}, nil, inPublic, finding.List{anyResource}},
		"bound tokens of a resource":           {[]resource.TokenValidator{bound(jwts(api, nil, nil))}, nil, inPublic, nil},
		"the second takes any":                 {[]resource.TokenValidator{bound(jwts(api, nil, nil)), bearer(noToken)}, nil, inPublic, finding.List{anyResource}},
		"a validator of the program":           {[]resource.TokenValidator{ownValidator{bearer(finds)}}, nil, inPublic, nil},
		"what was never issued is found":       {[]resource.TokenValidator{bearer(finds)}, own, inPublic, finding.List{found}},
		"what was never issued, and any":       {[]resource.TokenValidator{bearer(finds)}, nil, inPublic, finding.List{found, anyResource}},
		"what was never issued at home":        {[]resource.TokenValidator{bearer(finds)}, nil, atHome, finding.List{found}},
		"a table that fails":                   {[]resource.TokenValidator{bearer(fails)}, own, inPublic, finding.List{failed}},
		"a table of JWTs that finds any":       {[]resource.TokenValidator{jwts(api, finds, nil)}, own, inPublic, finding.List{found}},
		"a table of JWTs that fails":           {[]resource.TokenValidator{jwts(api, fails, nil)}, own, inPublic, finding.List{failed}},
		"a table beside JWTs that finds any":   {[]resource.TokenValidator{jwts(api, noToken, bearer(finds))}, own, inPublic, finding.List{found}},
		"JWTs without a table":                 {[]resource.TokenValidator{jwts(api, nil, nil)}, own, inPublic, nil},
		"tables that are looked at one by one": {[]resource.TokenValidator{bearer(finds), ownValidator{bearer(fails)}}, own, inPublic, finding.List{found}},
	} {
		p, err := resource.NewProtector(resource.Config{Metadata: row.metadata}, row.validators...)
		require.NoError(t, err, name)
		assert.Equal(t, row.want, p.Diagnose(t.Context(), row.server), name)
	}
}

// ownValidator is a validator of the program, for a scheme of its own.
type ownValidator struct{ *resource.BearerTokenValidator }

func (ownValidator) TokenType() string { return "Own" }
