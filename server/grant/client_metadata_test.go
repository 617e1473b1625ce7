package grant_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
)

// A client can register the members of the extensions that the server has, and only with
// values of their types.
func TestTheMembersOfExtensions(t *testing.T) {
	p := oauthtest.New(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...))
	for name, c := range map[string]struct {
		hook    server.ClientMetadataHook
		members []string
	}{
		"certificate": {&grant.CertificateBoundTokens{}, []string{"tls_client_certificate_bound_access_tokens"}},
		"DPoP":        {&grant.DPoP{}, []string{"dpop_bound_access_tokens"}},
		"JARM": {&grant.JARM{}, []string{
			"authorization_encrypted_response_alg", "authorization_encrypted_response_enc", "authorization_signed_response_alg"}},
		"details": {&grant.AuthorizationDetails{}, []string{"authorization_details_types"}},
		"JAR": {&grant.RequestObjects{}, []string{
			"request_object_encryption_alg", "request_object_encryption_enc", "request_object_signing_alg", "request_uris", "require_signed_request_object"}},
	} {
		members := slices.Sorted(slices.Values(c.hook.ClientMetadataMembers()))
		assert.Equal(t, c.members, members, name)
		for _, member := range members {
			check := func(value string) error {
				return c.hook.CheckClientMetadata(t.Context(), &server.Request{Server: p.Server}, &models.ClientMetadata{Extra: map[string]json.RawMessage{member: json.RawMessage(value)}})
			}
			require.Error(t, check(`{"a":1}`), "%s is no object", member)
			require.NoError(t, c.hook.CheckClientMetadata(t.Context(), &server.Request{Server: p.Server}, &models.ClientMetadata{}), "%s is not given", member)
		}
	}
}
