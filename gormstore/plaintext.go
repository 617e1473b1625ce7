package gormstore

import (
	"context"
	"crypto/rand"
	"fmt"

	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/server"
)

// DigestPlaintext converts the rows of a table that an older program kept in
// plaintext, up to limit of them, and returns how many it saw to. The clients
// that hold the tokens keep on using them. Call it after AutoMigrate, until it
// returns 0; it may be interrupted, and run on several instances. Rows that were
// soft-deleted are converted, too: they are still there to be read.
//
// An old row is known by its grant_id, which it does not have. Where one of
// its two tokens was revoked, both are from now on, as the old program took
// it.
func (t *Tokens) DigestPlaintext(ctx context.Context, limit int) (rows int, err error) {
	if t.table.schema.PrioritizedPrimaryField == nil {
		return 0, t.table.fault("has no primary key, by which old rows are converted")
	}
	old, err := t.table.allOf(ctx, []clause.Expression{t.unconverted()}, clause.Limit{Limit: &limit})
	if err != nil {
		return 0, err
	}
	for _, row := range old {
		if err := t.digestRow(ctx, row.(tokenRow)); err != nil {
			return 0, fmt.Errorf("gormstore: convert a row of %s: %w", t.table.schema.Table, err)
		}
	}
	return len(old), nil
}

func (t *Tokens) unconverted() clause.Expression {
	return clause.Or(t.table.is("GrantID", nil), t.table.is("GrantID", ""))
}

func (t *Tokens) digestRow(ctx context.Context, row tokenRow) error {
	old := *row.AsTokenMixin()
	values := map[string]any{
		"AccessToken":  server.Digest(old.AccessToken),
		"GrantID":      server.Digest(rand.Text()),
		"GrantedScope": old.Scope,
		"GrantedAt":    old.IssuedAt,
		"ExpiresAt":    old.GetExpiresAt(),
	}
	if old.RefreshToken != nil && *old.RefreshToken != "" {
		values["RefreshToken"] = server.Digest(*old.RefreshToken)
		values["ExpiresAt"] = 0 // the refresh token has no end
	} else {
		values["RefreshToken"] = nil
	}
	values["RefreshTokenRevokedAt"] = max(old.RefreshTokenRevokedAt, old.AccessTokenRevokedAt)
	// The primary key names the row, so that no plaintext is in the statement.
	return t.table.do(ctx, step{}, func(tx *tx) error {
		_, err := tx.withoutHooks().updateRow(row, values, t.unconverted())
		return err
	})
}

// DigestPlaintext replaces the secrets of a table that an older program kept
// in plaintext, up to limit of them, and returns how many it saw to. Without it
// each is replaced when its client is next looked up.
func (c *Clients) DigestPlaintext(ctx context.Context, limit int) (rows int, err error) {
	secret := c.table.column("ClientSecret")
	old, err := c.table.allOf(ctx, append(plaintextSecret(secret), neq(secret, "")), clause.Limit{Limit: &limit})
	if err != nil {
		return 0, err
	}
	for _, row := range old {
		if err := c.digestSecret(ctx, row.(clientRow)); err != nil {
			return 0, fmt.Errorf("gormstore: convert a row of %s: %w", c.table.schema.Table, err)
		}
	}
	return len(old), nil
}

// allOf loads rows, soft-deleted ones included.
func (t *Table) allOf(ctx context.Context, conditions []clause.Expression, more ...clause.Expression) (rows []any, err error) {
	return t.loadAll(t.primary(ctx).Unscoped(), conditions, more...)
}

// plaintextSecret is true of a secret in no scheme that this module writes or
// reads. NULL is not plaintext.
func plaintextSecret(name string) []clause.Expression {
	return []clause.Expression{
		clause.Not(clause.Like{Column: column(name), Value: "$sha256$%"}),
		clause.Not(clause.Like{Column: column(name), Value: "$2%"}),
		clause.Not(clause.Like{Column: column(name), Value: "$argon2id$%"}),
	}
}
