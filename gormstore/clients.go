package gormstore

import (
	"context"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/storage"
)

// ClientModel is a pointer to a model that embeds models.ClientMixin.
type ClientModel[M any] interface {
	*M
	clientRow
}

type clientRow interface {
	storage.Client
	Described
	AsClientMixin() *models.ClientMixin
}

// Clients stores clients in rows of the program's model.
type Clients struct {
	table   *Table
	options ClientOptions
}

// ClientOptions say what an older program stored in the table of clients.
type ClientOptions struct {
	// HexadecimalSecrets says what a stored secret is that consists of exactly as many
	// hexadecimal digits as a digest has. The zero value means unknown: such clients cannot
	// authenticate, and the doctor reports them.
	HexadecimalSecrets HexadecimalSecrets
	// RewritePlaintext replaces a plaintext secret by its digest as soon as its client has
	// authenticated with it. Otherwise the plaintext is kept until [Clients.DigestPlaintext]
	// is called.
	RewritePlaintext bool
}

// HexadecimalSecrets says what stored secrets that consist of hexadecimal digits are.
type HexadecimalSecrets int

const (
	// HexadecimalPlaintext means that they are the secrets themselves, such as those of
	// "openssl rand -hex 32".
	HexadecimalPlaintext HexadecimalSecrets = iota + 1
	// HexadecimalSHA256 means that they are SHA-256 digests of the secrets, of 64 digits.
	// Those of any other length verify nothing.
	HexadecimalSHA256
)

// NewClients returns the store, or an error that says what is wrong with the model. If
// several options are given, the last ones apply.
func NewClients[M any, P ClientModel[M]](db *gorm.DB, options ...ClientOptions) (*Clients, error) {
	table, err := newTable(db, P(new(M)))
	if err != nil {
		return nil, err
	}
	c := &Clients{table: table}
	for _, o := range options {
		c.options = o
	}
	return c, nil
}

// Query finds a client by its id; it is a [storage.QueryClientFunc]. It returns nil when
// there is no such client, or only the mark of a deleted one. It does not write to the
// database.
func (c *Clients) Query(ctx context.Context, clientID string) (storage.Client, error) {
	row, err := c.find(ctx, clientID)
	if err != nil || row == nil {
		return nil, err
	}
	if c.options.HexadecimalSecrets != 0 {
		mixin := row.AsClientMixin()
		mixin.ClientSecret, mixin.PreviousClientSecret = c.named(mixin.ClientSecret), c.named(mixin.PreviousClientSecret)
	}
	return row, nil
}

// named returns a stored secret in a form that says what it is, if the options say what
// hexadecimal digits are.
func (c *Clients) named(stored string) string {
	if !models.IsBareHexadecimalSecret(stored) {
		return stored
	}
	switch digest := "$sha256$" + strings.ToLower(stored); {
	case c.options.HexadecimalSecrets == HexadecimalPlaintext:
		return models.HashClientSecret(stored)
	case c.options.HexadecimalSecrets == HexadecimalSHA256 && len(digest) == len(models.HashClientSecret("")):
		return digest
	}
	return stored
}

// find returns a client that was not deleted, or nil when there is none.
func (c *Clients) find(ctx context.Context, clientID string) (clientRow, error) {
	row := c.table.newRow().(clientRow)
	found, err := c.table.find(ctx, row, c.is(clientID))
	mixin := row.AsClientMixin()
	// Some collations also find a client whose id differs in case or accents.
	if err != nil || !found || mixin.GetClientID() != clientID || mixin.ClientDeletedAt != 0 {
		return nil, err
	}
	return row, nil
}

// is is the condition that a row is the client's.
func (c *Clients) is(clientID string) clause.Expression {
	return c.table.is("ClientID", models.ClientKey(clientID))
}

// exists reports whether there is a row of the client, deleted or not.
func (c *Clients) exists(db *gorm.DB, clientID string) (bool, error) {
	row := c.table.newRow().(clientRow)
	result := where(db.Unscoped(), c.is(clientID)).Limit(1).Find(row)
	return result.RowsAffected == 1 && row.AsClientMixin().GetClientID() == clientID, result.Error
}

// ClientAuthenticated replaces a plaintext secret by its digest after its client has
// authenticated with it, where the options ask for that; it is a
// [server.ClientAuthenticatedHook]. The part Clients of [gormoauth.New] registers it.
//
// [gormoauth.New]: https://pkg.go.dev/github.com/gormoauth/gormoauth#New
func (c *Clients) ClientAuthenticated(ctx context.Context, req *server.Request) {
	registered, ok := req.Client.(storage.RegisteredClient)
	bySecret := req.AuthMethod == models.ClientSecretBasic || req.AuthMethod == models.ClientSecretPost
	if !ok || !c.options.RewritePlaintext || !bySecret || !models.IsPlaintextClientSecret(registered.AsClientMixin().ClientSecret) {
		return
	}
	// The error is ignored: the secret verifies either way, GORM logs what went wrong, and
	// the next authentication tries again.
	_, _ = c.digestSecret(ctx, req.Client.GetClientID(), registered.AsClientMixin().ClientSecret)
}

// digestSecret replaces a stored secret by a form that says what it is, unless the secret has
// changed in the meantime. The row is compared here, under a lock, so that no statement
// contains a plaintext.
func (c *Clients) digestSecret(ctx context.Context, clientID, stored string) (replaced bool, err error) {
	digest := c.named(stored)
	if models.IsPlaintextClientSecret(stored) {
		digest = models.HashClientSecret(stored)
	}
	if digest == stored {
		return false, nil
	}
	err = c.table.do(ctx, step{several: true}, func(tx *tx) error {
		replaced = false
		tx = tx.withoutHooks()
		row, err := c.lock(tx, clientID)
		if err != nil || row == nil || row.AsClientMixin().ClientSecret != stored {
			return err
		}
		changed, err := tx.updateRow(row, map[string]any{"ClientSecret": digest}, c.is(clientID))
		replaced = changed > 0
		return err
	})
	return replaced, err
}

// lock loads and locks the row of a client until the step ends. It returns nil if there is
// none.
func (c *Clients) lock(tx *tx, clientID string) (clientRow, error) {
	rows, err := tx.list([]clause.Expression{c.is(clientID)}, locked)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0].(clientRow), nil
}
