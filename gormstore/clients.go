package gormstore

import (
	"context"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// ClientModel is a pointer to a model that embeds models.ClientMixin.
type ClientModel[M any] interface {
	*M
	clientRow
}

type clientRow interface {
	server.Client
	Described
	AsClientMixin() *models.ClientMixin
}

// Clients keeps clients in rows of the program's model.
type Clients struct{ table *Table }

// NewClients returns the store, or what is wrong with the model.
func NewClients[M any, P ClientModel[M]](db *gorm.DB) (*Clients, error) {
	table, err := newTable(db, P(new(M)))
	if err != nil {
		return nil, err
	}
	return &Clients{table}, nil
}

// Query finds a client by its id; it is a [server.QueryClientFunc]. It finds none that
// was deleted and left a mark. A secret that an older program left as plaintext is
// replaced by its digest.
func (c *Clients) Query(ctx context.Context, clientID string) (server.Client, error) {
	row, err := c.find(ctx, clientID)
	if err != nil || row == nil {
		return nil, err
	}
	if !models.IsHashedClientSecret(row.AsClientMixin().ClientSecret) {
		// Not worth an error: the secret verifies either way, GORM logs what
		// went wrong, and the next look-up tries again.
		_ = c.digestSecret(ctx, row)
	}
	return row, nil
}

// find returns a client that was not deleted, or nil.
func (c *Clients) find(ctx context.Context, clientID string) (clientRow, error) {
	row := c.table.newRow().(clientRow)
	found, err := c.table.find(ctx, row, c.is(clientID))
	mixin := row.AsClientMixin()
	// Some collations find a client with other letters.
	if err != nil || !found || mixin.GetClientID() != clientID || mixin.ClientDeletedAt != 0 {
		return nil, err
	}
	return row, nil
}

// is is true of the row of a client.
func (c *Clients) is(clientID string) clause.Expression {
	return c.table.is("ClientID", models.ClientKey(clientID))
}

// exists reports whether there is a row of the client, deleted or not.
func (c *Clients) exists(db *gorm.DB, clientID string) (bool, error) {
	row := c.table.newRow().(clientRow)
	result := where(db.Unscoped(), c.is(clientID)).Limit(1).Find(row)
	return result.RowsAffected == 1 && row.AsClientMixin().GetClientID() == clientID, result.Error
}

// digestSecret replaces the plaintext secret of a row, unless it has been
// replaced since. The plaintext does not appear in the statement.
func (c *Clients) digestSecret(ctx context.Context, row clientRow) error {
	mixin := row.AsClientMixin()
	theirs := append(plaintextSecret(c.table.column("ClientSecret")), c.table.is("ClientID", mixin.ClientID))
	return c.table.do(ctx, step{}, func(tx *tx) error {
		_, err := tx.withoutHooks().updateRow(row, map[string]any{"ClientSecret": models.HashClientSecret(mixin.ClientSecret)}, theirs...)
		return err
	})
}
