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
// kept. A public client (token_endpoint_auth_method "none") has none, and the
// secret is empty. Metadata that no client may have is refused with a
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
	mixin.ClientIDIssuedAt = f.Clock().Unix()
	mixin.ClientSecret = ""
	if mixin.GetTokenEndpointAuthMethod() != models.None {
		secret = server.GenerateSecret(f.TokenPrefix, server.ClientSecretKind)
		mixin.ClientSecret = models.HashClientSecret(secret)
	}
	s, names := f.clients.store, f.clients.columns
	// An id that the program chose may be another client's.
	own := clause.And(eq(names["ClientID"], mixin.ClientID), eq(names["ClientSecret"], mixin.ClientSecret), eq(names["ClientIDIssuedAt"], mixin.ClientIDIssuedAt))
	if err := s.once(ctx, own, func() error {
		_, err := s.insert(s.conn(ctx), client)
		return err
	}); err != nil {
		return "", err
	}
	return secret, nil
}

// RotateSecret replaces a client's secret and returns the new one, this once.
// The old one is void from then on. [ErrNoClient] is returned for a client
// that does not exist or has no secret.
func (f *ClientFactory[M, P]) RotateSecret(ctx context.Context, clientID string) (secret string, err error) {
	row, err := f.clients.find(ctx, clientID)
	if err != nil {
		return "", err
	}
	if row == nil || P(row).AsClientMixin().GetTokenEndpointAuthMethod() == models.None {
		return "", ErrNoClient
	}
	secret = server.GenerateSecret(f.TokenPrefix, server.ClientSecretKind)
	s, names := f.clients.store, f.clients.columns
	var changed int64
	err = s.write(ctx, func(bool) (err error) {
		changed, err = s.update(s.conn(ctx), row, map[string]any{
			names["ClientSecret"]:          models.HashClientSecret(secret),
			names["ClientSecretExpiresAt"]: 0,
		}, eq(names["ClientID"], clientID))
		return err
	})
	if err == nil && changed == 0 {
		err = ErrNoClient
	}
	if err != nil {
		return "", err
	}
	return secret, nil
}
