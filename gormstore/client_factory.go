package gormstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// ClientFactory makes clients, and tells their secrets once.
type ClientFactory[M any, P ClientModel[M]] struct {
	// TokenPrefix begins every secret; see [server.Config].
	TokenPrefix string
	// NewSecret makes the secrets, where they are not just random: that of
	// [server.Server.NewClientSecret] for client_secret_jwt.
	NewSecret func(authMethod, clientID string) (secret, stored string)
	// Clock tells the time; nil is time.Now.
	Clock func() time.Time

	clients *Clients[M, P]
}

// ErrNoClient is returned for a client that does not exist.
var ErrNoClient = errors.New("gormstore: there is no such client")

// NewClientFactory returns a factory, or what is wrong with the model.
func NewClientFactory[M any, P ClientModel[M]](db *gorm.DB) (*ClientFactory[M, P], error) {
	clients, err := NewClients[M, P](db)
	if err != nil {
		return nil, err
	}
	return &ClientFactory[M, P]{TokenPrefix: server.DefaultTokenPrefix, Clock: time.Now, clients: clients}, nil
}

// Create stores a new client. Fill its metadata first; a client id that is
// empty is generated. The secret is returned this once: only its digest is
// kept. A public client (token_endpoint_auth_method "none") and one that signs
// by a key of its own ("private_key_jwt") have none, and the secret is empty. Metadata that no client may have is refused with a
// [*server.ClientMetadataError].
func (f *ClientFactory[M, P]) Create(ctx context.Context, client *M) (secret string, err error) {
	mixin := P(client).AsClientMixin()
	if err := server.ValidateClientMetadata(&mixin.ClientMetadata); err != nil {
		return "", err
	}
	if mixin.ClientID == "" {
		mixin.ClientID = rand.Text()
	}
	if !server.IsClientID(mixin.ClientID) {
		return "", fmt.Errorf("gormstore: the client id %q has a character that no client id has (RFC 6749 appendix A.1)", mixin.ClientID)
	}
	mixin.ClientID, mixin.LongClientID = models.SplitClientID(mixin.ClientID)
	mixin.ClientIDIssuedAt = f.Clock().Unix()
	mixin.ClientSource = models.ClientByHand
	mixin.ClientSecret = ""
	if secret, mixin.ClientSecret, err = f.newSecret(mixin); err != nil {
		return "", err
	}
	s, names := f.clients.store, f.clients.columns
	// An id that the program chose may be another client's.
	own := clause.And(eq(names["ClientID"], mixin.ClientID), eq(names["ClientSecret"], mixin.ClientSecret), eq(names["ClientIDIssuedAt"], mixin.ClientIDIssuedAt))
	if err := s.act(ctx, own, func(db *gorm.DB) error {
		if _, err := s.insert(db, client); err != nil {
			return err
		}
		return s.trail.note(db, clientEntry(models.AuditClientRegistered, mixin.GetClientID(), f.Clock()))
	}); err != nil {
		return "", err
	}
	return secret, nil
}

// newSecret returns a secret for the client, and what is stored of it; nothing for
// one that has none.
func (f *ClientFactory[M, P]) newSecret(client *models.ClientMixin) (secret, stored string, err error) {
	method := client.GetTokenEndpointAuthMethod()
	switch {
	case !models.UsesClientSecret(method):
		return "", "", nil
	case f.NewSecret != nil:
		secret, stored = f.NewSecret(method, client.GetClientID())
		return secret, stored, nil
	case method == models.ClientSecretJWT:
		return "", "", errors.New("gormstore: ClientFactory.NewSecret is missing: a secret for client_secret_jwt is made by the server's NewClientSecret")
	}
	secret = server.GenerateSecret(f.TokenPrefix, server.ClientSecretKind)
	return secret, models.HashClientSecret(secret), nil
}

// SecretRotation says how a secret is replaced. The zero value voids the old
// one at once, and the new one does not expire.
type SecretRotation struct {
	// Overlap is how long the old secret stays valid beside the new one, so that
	// a client that runs in many places can change over.
	Overlap time.Duration
	// ExpiresIn is how long the new secret lasts; 0 is without end.
	ExpiresIn time.Duration
}

// RotateSecret replaces a client's secret and returns the new one, this once.
// [ErrNoClient] is returned for a client that does not exist or has no secret.
func (f *ClientFactory[M, P]) RotateSecret(ctx context.Context, clientID string, rotation SecretRotation) (secret string, err error) {
	s, names := f.clients.store, f.clients.columns
	const attempts = 5 // another rotation may come in between
	for range attempts {
		row, err := f.clients.find(ctx, clientID)
		if err != nil {
			return "", err
		}
		if row == nil || !models.UsesClientSecret(P(row).AsClientMixin().GetTokenEndpointAuthMethod()) {
			return "", ErrNoClient
		}
		old := P(row).AsClientMixin().ClientSecret
		if !models.IsHashedClientSecret(old) { // of an older program; a plaintext appears in no statement
			if err := f.clients.digestSecret(ctx, row); err != nil {
				return "", err
			}
			continue
		}
		secret, stored, err := f.newSecret(P(row).AsClientMixin())
		if err != nil {
			return "", err
		}
		values := f.rotated(P(row).AsClientMixin(), stored, rotation)
		theirs := eq(names["ClientID"], models.ClientKey(clientID))
		err = s.act(ctx, clause.And(theirs, eq(names["ClientSecret"], stored)), func(db *gorm.DB) error {
			changed, err := s.update(db, row, values, theirs, eq(names["ClientSecret"], old))
			switch {
			case err != nil:
				return err
			case changed == 0:
				return errUpdated
			}
			return s.trail.note(db, clientEntry(models.AuditClientSecretRotated, clientID, f.Clock()))
		})
		switch {
		case err == nil:
			return secret, nil
		case !errors.Is(err, errUpdated):
			return "", err
		}
	}
	return "", fmt.Errorf("gormstore: the secret of %q is being rotated by others: %w", clientID, server.ErrUnavailable)
}

// rotated returns the columns of a client with a new secret. The old one keeps
// its own end where that comes sooner.
func (f *ClientFactory[M, P]) rotated(old *models.ClientMixin, stored string, rotation SecretRotation) map[string]any {
	names, now := f.clients.columns, f.Clock()
	values := map[string]any{
		names["ClientSecret"]: stored, names["ClientSecretExpiresAt"]: int64(0),
		names["PreviousClientSecret"]: "", names["PreviousClientSecretExpiresAt"]: int64(0),
	}
	if rotation.ExpiresIn > 0 {
		values[names["ClientSecretExpiresAt"]] = now.Add(rotation.ExpiresIn).Unix()
	}
	if rotation.Overlap > 0 {
		end := now.Add(rotation.Overlap).Unix()
		if old.ClientSecretExpiresAt != 0 {
			end = min(end, old.ClientSecretExpiresAt)
		}
		values[names["PreviousClientSecret"]], values[names["PreviousClientSecretExpiresAt"]] = old.ClientSecret, end
	}
	return values
}
