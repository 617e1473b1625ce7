package clientauth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/loopback"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// ClientSecretJWT is authentication by a JWT that the client signs with its secret (RFC
// 7523 section 2.2, OpenID Connect Core section 9). To verify the JWT, the server needs the
// secret itself, which is not in the database: the server derives it from a key of its own
// and a nonce in the database. PrivateKeyJWT needs no such key.
//
// [server.Server.NewClientSecret] makes such secrets. Client registration uses it; for a
// gormstore.ClientFactory, set its NewSecret to it.
type ClientSecretJWT struct {
	// Key derives the secrets that server.Config.Secrets do not: at least 32 random bytes,
	// the same on every instance, stored apart from the database. Changing it invalidates
	// all secrets that were derived from it. If Config.Secrets is set too, Key still
	// derives its existing secrets, and new ones until Config.NoOlderInstances is set. If
	// Key is nil, Config.Secrets derive all client secrets. They can be rotated: each
	// client secret records which of them it was derived from.
	Key []byte
	// Replays remembers which assertions were used.
	Replays storage.Replays

	secrets          secret.Keyring // of the server on which the method is registered
	noOlderInstances bool
}

const minSecretKey = 32

func secretAlgorithms() []jose.SignatureAlgorithm { return []jose.SignatureAlgorithm{jose.HS256} }

// AuthMethod returns "client_secret_jwt".
func (*ClientSecretJWT) AuthMethod() string { return models.ClientSecretJWT }

// CheckConfig returns an error for each missing or invalid field.
func (m *ClientSecretJWT) CheckConfig(config *server.Config) error {
	var faults []error
	if len(m.Key) < minSecretKey && (m.Key != nil || len(config.Secrets) == 0) {
		faults = append(faults, errors.New("clientauth: ClientSecretJWT.Key must have at least 32 random bytes; or omit it and set Config.Secrets"))
	}
	if m.Replays == nil {
		faults = append(faults, errors.New("clientauth: ClientSecretJWT.Replays is missing: write gormoauth.CreateReplayStorage[Replay](db)"))
	}
	return errors.Join(faults...)
}

// Registered keeps the secrets of the server.
func (m *ClientSecretJWT) Registered(s *server.Server) {
	config := s.GivenConfig()
	m.secrets, m.noOlderInstances = config.Secrets, config.NoOlderInstances
}

// Diagnose reports that Key derives new secrets although Config.Secrets is set.
func (m *ClientSecretJWT) Diagnose(_ context.Context, s *server.Server) finding.List {
	if m.Key == nil || len(m.secrets) == 0 || m.noOlderInstances || loopback.Serves(s.Issuer()) {
		return nil
	}
	return finding.List{{
		Check: "pending_client_secrets", Severity: finding.Hint, Where: "clientauth.ClientSecretJWT.Key", Problem: "derives new client secrets, and Config.Secrets do not yet, since an older instance could not verify them",
		Consequence: "the secrets derived meanwhile need the key for ever", Remedy: "Config.NoOlderInstances: true, once no instance of an older release runs",
	}}
}

// PrepareMetadata adds the algorithm (RFC 8414 section 2).
func (*ClientSecretJWT) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata.Add("token_endpoint_auth_signing_alg_values_supported", string(jose.HS256))
}

// ClientMetadataMembers returns "token_endpoint_auth_signing_alg", the client's algorithm.
func (*ClientSecretJWT) ClientMetadataMembers() []string { return []string{signingAlgMember} }

// CheckClientMetadata refuses a client that could not authenticate by this method.
func (*ClientSecretJWT) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	return checkSigningAlgorithm(metadata, models.ClientSecretJWT, secretAlgorithms())
}

// NewClientSecret returns a secret, and the value to store from which it can be derived
// again.
func (m *ClientSecretJWT) NewClientSecret(clientID string) (secret, stored string) {
	nonce := rand.Text()
	stored = models.DerivedClientSecret(nonce)
	if m.Key == nil || len(m.secrets) > 0 && m.noOlderInstances {
		stored = models.DerivedClientSecretBy(m.secrets.Newest(), nonce)
	}
	secret, err := m.derive(clientID, stored)
	if err != nil { // the method was never registered, so it has no secrets of a server
		panic("clientauth: ClientSecretJWT: " + err.Error())
	}
	return secret, stored
}

// KnowsSecretKey reports whether the method has the key from which a stored secret was
// derived.
func (m *ClientSecretJWT) KnowsSecretKey(stored string) bool {
	_, err := m.derive("", stored)
	return err == nil
}

// errNotDerived means that the stored value is not that of a derived secret.
var errNotDerived = errors.New("the secret is not derived")

// derive returns the secret of a client: 256 bits that cannot be computed without the key.
func (m *ClientSecretJWT) derive(clientID, stored string) (string, error) {
	secretID, nonce, ok := models.ReadDerivedClientSecret(stored)
	key := m.Key
	switch {
	case !ok:
		return "", errNotDerived
	case secretID != "":
		var err error
		if key, err = m.secrets.Key(secretID, secret.ForClientSecrets); err != nil {
			return "", err
		}
	case len(key) == 0:
		return "", errors.New("the secret was derived with ClientSecretJWT.Key, which is not set")
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("client secret\x00" + nonce + "\x00" + clientID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
}

// Presented reports whether the request has a client assertion that is signed
// with a secret.
func (*ClientSecretJWT) Presented(req *server.Request) bool { return signedWithSecret(req) }

func signedWithSecret(req *server.Request) bool {
	_, err := assertion.Parse(req.Params.Get("client_assertion"), []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512})
	return err == nil
}

// AuthenticateClient verifies the assertion, which can be used once.
func (m *ClientSecretJWT) AuthenticateClient(ctx context.Context, req *server.Request, query storage.QueryClientFunc) (storage.Client, error) {
	a := asserted{models.ClientSecretJWT, secretAlgorithms(), m.Replays, m.verify}
	return a.authenticate(ctx, req, query)
}

// CheckDerivedSecret reports whether secret is the one with which the client signs, and
// whether it has expired.
func (m *ClientSecretJWT) CheckDerivedSecret(client *models.ClientMixin, secret string, now time.Time) (right, expired bool) {
	right, expired, _ = m.anySecret(client, now, func(derived string) bool { return hmac.Equal([]byte(derived), []byte(secret)) })
	return right, expired
}

// verify returns nil if the assertion is signed with one of the client's secrets.
func (m *ClientSecretJWT) verify(_ context.Context, req *server.Request, assertion *assertion.Assertion, client *models.ClientMixin) (err error) {
	right, expired, missing := m.anySecret(client, req.Time, func(derived string) bool {
		err = assertion.VerifyWith([]byte(derived))
		return err == nil
	})
	switch {
	case right:
		return nil
	case expired:
		return &server.NotAuthenticated{Reason: reason.New("the client secret has expired")}
	case missing != nil: // the client may have signed with that secret
		return &server.NotAuthenticated{Reason: reason.New("the key with which the client secret was derived is missing", slog.String("fault", missing.Error()))}
	case err == nil:
		return reason.New("the client has no secret that can verify the signature")
	default:
		return err
	}
}

// anySecret reports whether does returns true for one of the client's current secrets, or
// only for an expired one. missing is the reason if one of them could not be derived.
func (m *ClientSecretJWT) anySecret(client *models.ClientMixin, now time.Time, does func(derived string) bool) (right, expired bool, missing error) {
	for _, stored := range []struct {
		secret    string
		expiresAt int64
	}{
		{client.PreviousClientSecret, client.PreviousClientSecretExpiresAt},
		{client.ClientSecret, client.ClientSecretExpiresAt},
	} {
		derived, err := m.derive(client.GetClientID(), stored.secret)
		switch {
		case errors.Is(err, errNotDerived):
			continue
		case err != nil:
			missing = err
			continue
		case !does(derived):
			continue
		case stored.expiresAt == 0 || now.Unix() < stored.expiresAt:
			return true, false, nil
		}
		expired = true
	}
	return false, expired, missing
}
