package storetest

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/models"
)

// replicas: whatever one instance has acknowledged is seen by every other at once,
// however far a replica or another node lags behind.
func (k *kit) replicas(t *testing.T) {
	all := k.instances(t)
	for i, writer := range all {
		for j, reader := range all {
			for range rounds {
				c := k.publicClient(t)
				code := writer.code(t, c, k.user)
				token := reader.redeem(c, code)
				if !token.ok() {
					t.Fatalf("a code of instance %d is refused on instance %d: %+v", i, j, token)
				}
				if !writer.valid(token.Access) {
					t.Fatalf("a token of instance %d is invalid on instance %d", j, i)
				}
				if a := writer.revoke(c, token.Refresh); !a.ok() {
					t.Fatalf("a token of instance %d cannot be revoked on instance %d: %+v", j, i, a)
				}
				if reader.valid(token.Access) {
					t.Fatalf("a token is valid on instance %d after its revocation on instance %d", j, i)
				}
			}
			k.secrets(t, writer, reader)
		}
	}
}

// secrets: a client's new secret is accepted everywhere, and the old one nowhere.
func (k *kit) secrets(t *testing.T, writer, reader *instance) {
	t.Helper()
	c := k.newClient(t, writer.db, models.ClientMetadata{
		TokenEndpointAuthMethod: models.ClientSecretPost, GrantTypes: []string{"client_credentials"},
	})
	status := func(secret string) int {
		return reader.post(reader.server.CreateTokenResponse, url.Values{"grant_type": {"client_credentials"}}, client{c.id, secret}).Status
	}
	if s := status(c.secret); s != http.StatusOK {
		t.Fatalf("the secret of a new client is answered with %d", s)
	}
	secret, err := writer.rotateSecret(t.Context(), c.id, gormstore.SecretRotation{})
	check(t, err)
	if s := status(secret); s != http.StatusOK {
		t.Fatalf("a client's new secret is answered with %d", s)
	}
	if s := status(c.secret); s == http.StatusOK {
		t.Fatal("a client's old secret is accepted")
	}
}
