package clientauth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// ClientSecretJWT is a JWT that the client signs with its secret (RFC 7523
// section 2.2, OpenID Connect Core section 9). To verify it the server has to
// know the secret again, of which the database holds nothing: it derives the
// secret from a key of its own and what the database holds. PrivateKeyJWT needs
// no such key.
//
// Such secrets are made by [server.Server.NewClientSecret], which client
// registration uses; for a gormstore.ClientFactory, set its NewSecret to it.
type ClientSecretJWT struct {
	// Key derives the secrets: at least 32 random bytes, the same on every
	// instance, kept apart from the database. With another key all secrets are
	// void.
	Key []byte
	// Replays remembers which assertions were presented.
	Replays server.ReplayStorage
}

const minSecretKey = 32

func secretAlgorithms() []jose.SignatureAlgorithm { return []jose.SignatureAlgorithm{jose.HS256} }

// AuthMethod returns "client_secret_jwt".
func (*ClientSecretJWT) AuthMethod() string { return models.ClientSecretJWT }

// CheckConfig names what is missing.
func (m *ClientSecretJWT) CheckConfig(*server.Config) error {
	var faults []error
	if len(m.Key) < minSecretKey {
		faults = append(faults, errors.New("clientauth: ClientSecretJWT.Key must have at least 32 random bytes"))
	}
	if m.Replays == nil {
		faults = append(faults, errors.New("clientauth: ClientSecretJWT.Replays is missing: write gormoauth.CreateReplayStorage[Replay](db)"))
	}
	return errors.Join(faults...)
}

// PrepareMetadata names the algorithm (RFC 8414 section 2).
func (*ClientSecretJWT) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata.Add("token_endpoint_auth_signing_alg_values_supported", string(jose.HS256))
}

// ClientMetadataMembers returns the member by which a client names its
// algorithm.
func (*ClientSecretJWT) ClientMetadataMembers() []string { return []string{signingAlgMember} }

// CheckClientMetadata refuses a client that could not authenticate.
func (*ClientSecretJWT) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	return checkSigningAlgorithm(metadata, models.ClientSecretJWT, secretAlgorithms())
}

// NewClientSecret returns a secret, and what is stored of it.
func (m *ClientSecretJWT) NewClientSecret(clientID string) (secret, stored string) {
	nonce := rand.Text()
	return m.derive(clientID, nonce), models.DerivedClientSecret(nonce)
}

// derive returns the secret of a client: 256 bits that nobody can know without
// the key.
func (m *ClientSecretJWT) derive(clientID, nonce string) string {
	mac := hmac.New(sha256.New, m.Key)
	mac.Write([]byte("client secret\x00" + nonce + "\x00" + clientID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Presented reports whether the request has a client assertion that is signed
// with a secret.
func (*ClientSecretJWT) Presented(req *server.Request) bool { return signedWithSecret(req) }

func signedWithSecret(req *server.Request) bool {
	_, err := server.ParseAssertion(req.Params.Get("client_assertion"), []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512})
	return err == nil
}

// AuthenticateClient verifies the assertion. It is good once.
func (m *ClientSecretJWT) AuthenticateClient(ctx context.Context, req *server.Request, query server.QueryClientFunc) (server.Client, error) {
	a := asserted{models.ClientSecretJWT, secretAlgorithms(), m.Replays, m.verify}
	return a.authenticate(ctx, req, query)
}

// CheckDerivedSecret reports whether a client sent the secret with which it is to sign,
// and whether that has expired.
func (m *ClientSecretJWT) CheckDerivedSecret(client *models.ClientMixin, secret string, now time.Time) (right, expired bool) {
	return m.anySecret(client, now, func(derived string) bool { return hmac.Equal([]byte(derived), []byte(secret)) })
}

// verify returns nil when one of the client's secrets made the signature.
func (m *ClientSecretJWT) verify(_ context.Context, req *server.Request, assertion *server.Assertion, client *models.ClientMixin) (err error) {
	right, expired := m.anySecret(client, req.Time, func(derived string) bool {
		err = assertion.VerifyWith([]byte(derived))
		return err == nil
	})
	switch {
	case right:
		return nil
	case expired:
		return &server.NotAuthenticated{Reason: server.NewReason("the client secret has expired")}
	case err == nil:
		return server.NewReason("the client has no secret that signs")
	default:
		return err
	}
}

// anySecret reports whether one of the client's secrets does, and whether the one that
// does has expired.
func (m *ClientSecretJWT) anySecret(client *models.ClientMixin, now time.Time, does func(derived string) bool) (right, expired bool) {
	for _, stored := range []struct {
		secret    string
		expiresAt int64
	}{
		{client.PreviousClientSecret, client.PreviousClientSecretExpiresAt},
		{client.ClientSecret, client.ClientSecretExpiresAt},
	} {
		nonce, ok := strings.CutPrefix(stored.secret, models.DerivedClientSecret(""))
		if !ok || !does(m.derive(client.GetClientID(), nonce)) {
			continue
		}
		if stored.expiresAt == 0 || now.Unix() < stored.expiresAt {
			return true, false
		}
		expired = true
	}
	return false, expired
}
