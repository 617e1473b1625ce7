package gormstore

import (
	"context"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// ClientModel is a pointer to a model that embeds models.ClientMixin.
type ClientModel[M any] interface {
	*M
	server.Client
	AsClientMixin() *models.ClientMixin
}

// Clients keeps clients in rows of the program's model M.
type Clients[M any, P ClientModel[M]] struct {
	store   *store
	columns columns
}

// NewClients returns the store, or what is wrong with the model.
func NewClients[M any, P ClientModel[M]](db *gorm.DB) (*Clients[M, P], error) {
	s, names, err := newMixinStore(db, new(M), models.ClientMixin{})
	if err != nil {
		return nil, err
	}
	return &Clients[M, P]{s, names}, nil
}

// Query finds a client by its id; it is a [server.QueryClientFunc]. It finds none that
// was deleted and left a mark. A secret that an older program left as plaintext is
// replaced by its digest.
func (c *Clients[M, P]) Query(ctx context.Context, clientID string) (server.Client, error) {
	row, err := c.find(ctx, clientID)
	if err != nil || row == nil {
		return nil, err
	}
	if mixin := P(row).AsClientMixin(); !models.IsHashedClientSecret(mixin.ClientSecret) {
		// Not worth an error: the secret verifies either way, GORM logs what
		// went wrong, and the next look-up tries again.
		_ = c.digestSecret(ctx, row)
	}
	return P(row), nil
}

func (c *Clients[M, P]) find(ctx context.Context, clientID string) (*M, error) {
	row := new(M)
	found, err := c.store.find(ctx, row, eq(c.columns["ClientID"], models.ClientKey(clientID)))
	// Some collations find a client with other letters.
	if err != nil || !found || P(row).AsClientMixin().GetClientID() != clientID || P(row).AsClientMixin().ClientDeletedAt != 0 {
		return nil, err
	}
	return row, nil
}

// digestSecret replaces the plaintext secret of a row, unless it has been
// replaced since. The plaintext does not appear in the statement.
func (c *Clients[M, P]) digestSecret(ctx context.Context, row *M) error {
	mixin := P(row).AsClientMixin()
	secret := c.columns["ClientSecret"]
	theirs := append(plaintextSecret(secret), eq(c.columns["ClientID"], mixin.ClientID))
	return where(c.store.conn(ctx).Unscoped().Model(row), theirs...).UpdateColumn(secret, models.HashClientSecret(mixin.ClientSecret)).Error
}
