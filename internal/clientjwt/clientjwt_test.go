package clientjwt_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/clientjwt"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/storage"
)

func answer() clientjwt.Answer {
	return clientjwt.Answer{Called: "userinfo", Algorithms: []jose.SignatureAlgorithm{jose.ES256, jose.RS256}}
}

func metadataOf(t *testing.T, text string) *models.ClientMetadata {
	t.Helper()
	metadata := new(models.ClientMetadata)
	require.NoError(t, json.Unmarshal([]byte(text), metadata), text)
	return metadata
}

// keysFor is a client's key set with one key.
func keysFor(t *testing.T, algorithm jose.SignatureAlgorithm, alg, use string) string {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: oauthtest.NewKeyFor(t, algorithm).Public(), KeyID: "the key", Algorithm: alg, Use: use}}})
	require.NoError(t, err)
	return string(text)
}

func TestWhatAClientMayChoose(t *testing.T) {
	elliptic, signing := keysFor(t, jose.ES256, "", ""), keysFor(t, jose.ES256, "", "sig")
	const noKey = "jwks: has no key for encryption with ECDH-ES; register one, or remove userinfo_encrypted_response_alg"
	for text, want := range map[string]string{
		`{}`: "",
		`{"userinfo_signed_response_alg":"RS256"}`:                                                              "",
		`{"userinfo_signed_response_alg":"ES384"}`:                                                              `userinfo_signed_response_alg: "ES384" is not an algorithm that the server signs with; choose one of [ES256 RS256]`,
		`{"userinfo_signed_response_alg":7}`:                                                                    `userinfo_signed_response_alg: "7" must be a string`,
		`{"userinfo_encrypted_response_alg":7}`:                                                                 `userinfo_encrypted_response_alg: "7" must be a string`,
		`{"userinfo_encrypted_response_enc":[]}`:                                                                `userinfo_encrypted_response_enc: "[]" must be a string`,
		`{"userinfo_encrypted_response_enc":"A128GCM"}`:                                                         `userinfo_encrypted_response_enc: "A128GCM" has no effect without userinfo_encrypted_response_alg; register both, or neither`,
		`{"userinfo_encrypted_response_alg":"dir"}`:                                                             `userinfo_encrypted_response_alg: "dir" is not an algorithm that the server encrypts with; choose one of [ECDH-ES ECDH-ES+A128KW ECDH-ES+A256KW RSA-OAEP-256 RSA-OAEP]`,
		`{"userinfo_encrypted_response_alg":"ECDH-ES","userinfo_encrypted_response_enc":"A192GCM"}`:             `userinfo_encrypted_response_enc: "A192GCM" is not an encryption that the server supports; choose one of [A128CBC-HS256 A256CBC-HS512 A128GCM A256GCM]`,
		`{"userinfo_encrypted_response_alg":"ECDH-ES"}`:                                                         noKey,
		`{"userinfo_encrypted_response_alg":"ECDH-ES","jwks_uri":"https://a.example/"}`:                         noKey,
		`{"userinfo_encrypted_response_alg":"ECDH-ES","jwks":` + elliptic + `}`:                                 "",
		`{"userinfo_encrypted_response_alg":"ECDH-ES","jwks":` + signing + `}`:                                  noKey,
		`{"userinfo_encrypted_response_alg":"ECDH-ES","jwks":` + keysFor(t, jose.ES256, "ECDH-ES", "enc") + `}`: "",
		`{"userinfo_encrypted_response_alg":"ECDH-ES","jwks":` + keysFor(t, jose.ES256, "ES256", "") + `}`:      noKey,
		`{"userinfo_encrypted_response_alg":"ECDH-ES","jwks":` + keysFor(t, jose.RS256, "", "") + `}`:           noKey,
		`{"userinfo_encrypted_response_alg":"RSA-OAEP","jwks":` + keysFor(t, jose.RS256, "", "") + `}`:          "",
		`{"id_token_signed_response_alg":"none"}`:                                                               "",
	} {
		err := answer().CheckClientMetadata(metadataOf(t, text))
		if want == "" {
			assert.NoError(t, err, text)
		} else {
			assert.EqualError(t, err, want, text)
		}
	}
	fetching := answer()
	fetching.Fetcher = fetch.New(fetch.Options{})
	require.NoError(t, fetching.CheckClientMetadata(metadataOf(t, `{"userinfo_encrypted_response_alg":"ECDH-ES","jwks_uri":"https://a.example/"}`)), "its keys are seen when they are used")
	require.Error(t, fetching.CheckClientMetadata(metadataOf(t, `{"userinfo_encrypted_response_alg":"ECDH-ES","jwks":`+signing+`,"jwks_uri":"https://a.example/"}`)))
}

func TestMetadataOfTheServer(t *testing.T) {
	metadata := make(server.Metadata)
	answer().PrepareMetadata(metadata)
	text, err := json.Marshal(metadata)
	require.NoError(t, err)
	assert.JSONEq(t, `{
		"userinfo_signing_alg_values_supported":["ES256","RS256"],
		"userinfo_encryption_alg_values_supported":["ECDH-ES","ECDH-ES+A128KW","ECDH-ES+A256KW","RSA-OAEP","RSA-OAEP-256"],
		"userinfo_encryption_enc_values_supported":["A128CBC-HS256","A128GCM","A256CBC-HS512","A256GCM"]}`, string(text))
	assert.Equal(t, []string{"userinfo_signed_response_alg", "userinfo_encrypted_response_alg", "userinfo_encrypted_response_enc"}, answer().Members())
}

// nameless is a client of a model without metadata.
type nameless struct{ storage.Client }

func TestWhatSigns(t *testing.T) {
	client := func(text string) storage.Client {
		return &oauthtest.Client{ClientMixin: models.ClientMixin{ClientMetadata: *metadataOf(t, text)}}
	}
	for _, c := range []struct {
		algorithms []jose.SignatureAlgorithm
		client     storage.Client
		want       jose.SignatureAlgorithm
		signs      bool
		encrypts   bool
	}{
		{answer().Algorithms, client(`{"userinfo_signed_response_alg":"ES256"}`), jose.ES256, true, false},
		{answer().Algorithms, client(`{"userinfo_signed_response_alg":"none"}`), jose.RS256, true, false},
		{answer().Algorithms, client(`{"userinfo_encrypted_response_alg":"ECDH-ES"}`), jose.RS256, false, true},
		{answer().Algorithms, nameless{}, jose.RS256, false, false},
		{[]jose.SignatureAlgorithm{jose.ES384, jose.ES256}, client(`{}`), jose.ES384, false, false},
	} {
		a := answer()
		a.Algorithms = c.algorithms
		assert.Equal(t, c.want, a.Algorithm(c.client))
		assert.Equal(t, [2]bool{c.signs, c.encrypts}, [2]bool{a.Signs(c.client), a.Encrypts(c.client)})
	}
}

// What cannot be encrypted is an error: the client's fault where it has no key, and that of the
// network otherwise.
func TestWhatCannotBeEncrypted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := answer()
	for keys, refused := range map[string]bool{`"jwks":{"keys":[]}`: true, `"client_name":"keyless"`: true, `"jwks_uri":"https://a.example/"`: false} {
		if a.Fetcher = nil; !refused {
			a.Fetcher = fetch.New(fetch.Options{})
		}
		client := &oauthtest.Client{ClientMixin: models.ClientMixin{ClientMetadata: *metadataOf(t, fmt.Sprintf(`{"userinfo_encrypted_response_alg":"ECDH-ES",%s}`, keys))}}
		text, err := a.Encrypt(ctx, client, []byte("plain"), "JWT")
		require.Error(t, err, keys)
		assert.Empty(t, text)
		var told *server.Error
		assert.Equal(t, refused, errors.As(err, &told), "%s: %v", keys, err)
	}
}
