package server_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/oidc"
)

type otherKey struct{ oauthtest.SigningKey }

func (otherKey) TableName() string { return "other_keys" }

// elsewhere is a program that serves its keys itself.
type elsewhere struct{}

func (elsewhere) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata["jwks_uri"] = "https://keys.example/"
}

// Whatever signs what others verify has its keys published, in whatever order a program
// registers it, and none has to think of it (OpenID Connect Discovery section 3).
func TestWhatSignsHasAKeyDocument(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, append(oauthtest.Models(), &otherKey{})...)
	keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{})
	others := gormoauth.CreateSigningKeys[otherKey](db, gormstore.SigningKeyOptions{Algorithms: []jose.SignatureAlgorithm{jose.EdDSA}})
	es256 := []jose.SignatureAlgorithm{jose.ES256}
	provider := func(p *oauthtest.Provider) error {
		return (&oidc.Provider{Keys: keys, Algorithms: es256}).Register(p.Server, p.Protector)
	}
	jarm := func(p *oauthtest.Provider) error { return p.Server.Register(&grant.JARM{Keys: keys}) }
	document := func(p *oauthtest.Provider) error { return p.Server.RegisterEndpoint(&endpoint.JWKS{Keys: others}) }
	for rule, c := range map[string]struct {
		register []func(p *oauthtest.Provider) error
		keys     []string // by their algorithms
		uri      string
		finding  bool
	}{
		"what does not sign has none": {nil, nil, "", false},
		"a provider":                  {[]func(*oauthtest.Provider) error{provider}, []string{"ES256"}, oauthtest.Issuer + "/oauth/jwks", false},
		"signed responses":            {[]func(*oauthtest.Provider) error{jarm}, []string{"ES256"}, oauthtest.Issuer + "/oauth/jwks", false},
		"signed introspection": {[]func(*oauthtest.Provider) error{func(p *oauthtest.Provider) error {
			e := gormoauth.CreateIntrospectionEndpoint[oauthtest.Token](db)
			e.Keys = keys
			return p.Server.RegisterEndpoint(e)
		}}, []string{"ES256"}, oauthtest.Issuer + "/oauth/jwks", false},
		"two that sign by the same keys": {[]func(*oauthtest.Provider) error{provider, jarm}, []string{"ES256"}, oauthtest.Issuer + "/oauth/jwks", false},
		"two that sign by others": {[]func(*oauthtest.Provider) error{provider, func(p *oauthtest.Provider) error {
			return p.Server.Register(&grant.JARM{Keys: others})
		}}, []string{"ES256", "EdDSA"}, oauthtest.Issuer + "/oauth/jwks", false},
		"a document of the program's own, before": {[]func(*oauthtest.Provider) error{document, provider}, []string{"EdDSA"}, oauthtest.Issuer + "/oauth/jwks", true},
		"and after": {[]func(*oauthtest.Provider) error{provider, document}, []string{"EdDSA"}, oauthtest.Issuer + "/oauth/jwks", true},
		"of the same keys": {[]func(*oauthtest.Provider) error{provider, func(p *oauthtest.Provider) error {
			return p.Server.RegisterEndpoint(&endpoint.JWKS{Keys: keys})
		}}, []string{"ES256"}, oauthtest.Issuer + "/oauth/jwks", false},
		"and elsewhere": {[]func(*oauthtest.Provider) error{provider, func(p *oauthtest.Provider) error { return p.Server.Register(elsewhere{}) }},
			[]string{"ES256"}, "https://keys.example/", false},
	} {
		t.Run(rule, func(t *testing.T) {
			p := oauthtest.New(t, db)
			for _, register := range c.register {
				require.NoError(t, register(p))
			}
			uri, _ := p.Server.Metadata()["jwks_uri"].(string)
			assert.Equal(t, c.uri, uri)
			a := p.Get("/oauth/jwks")
			findings := p.Server.Diagnose(t.Context())
			oauthtest.KnowFindings(t, findings)
			assert.Equal(t, c.finding, len(findings) != len(findings.Without("key_document")))
			if c.uri == "" {
				assert.Equal(t, http.StatusNotFound, a.Status)
				return
			}
			assert.Equal(t, "application/jwk-set+json", a.Header.Get("Content-Type"))
			var set jose.JSONWebKeySet
			require.NoError(t, json.Unmarshal([]byte(a.Raw), &set))
			var algorithms []string
			for _, key := range set.Keys {
				algorithms = append(algorithms, key.Algorithm)
				assert.True(t, key.IsPublic())
			}
			assert.ElementsMatch(t, c.keys, algorithms)
		})
	}
}
