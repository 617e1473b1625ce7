package gormstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"reflect"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/secret"
)

// DigestPlaintext replaces the tokens that an older program stored in plaintext by their
// digests, in up to limit rows, and returns how many rows it processed. The tokens remain
// valid for their clients. Call it after AutoMigrate until it returns 0; it may be
// interrupted, and may run on several instances at once. Soft-deleted rows are converted
// as well, because they can still be read in the database.
//
// An old row is one that no release of this module can have written: it has no form (the
// column form), no grant (NULL), and no beginning of the grant. A row written by a release is
// never touched, not even a client's own token, which belongs to no grant. If one of the two
// tokens in an old row was revoked, even while it is being converted, both are revoked from
// then on, as they were for the old program.
func (t *Tokens) DigestPlaintext(ctx context.Context, limit int) (rows int, err error) {
	key := t.table.schema.PrioritizedPrimaryField
	if key == nil {
		return 0, t.table.fault("has no primary key, which converting old rows needs")
	}
	old, err := t.table.allOf(ctx, t.unconverted(), clause.Limit{Limit: &limit})
	if err != nil {
		return 0, err
	}
	converted, keys := int64(0), make([]any, len(old))
	for i, row := range old {
		n, err := t.digestRow(ctx, row.(tokenRow))
		if err != nil {
			return 0, fmt.Errorf("gormstore: convert a row of %s: %w", t.table.schema.Table, err)
		}
		converted += n
		keys[i], _ = key.ValueOf(ctx, reflect.ValueOf(row).Elem())
	}
	if len(old) > 0 && converted == 0 {
		same := clause.IN{Column: column(key.DBName), Values: keys}
		again, err := t.table.allOf(ctx, append(t.unconverted(), same))
		if err != nil || len(again) < len(old) { // another instance has converted them
			return len(old), err
		}
		return 0, fmt.Errorf("gormstore: no row of %s could be converted: %w", t.table.schema.Table, errNothingEnds)
	}
	return len(old), nil
}

func (t *Tokens) unconverted() []clause.Expression {
	return []clause.Expression{t.table.is("GrantID", nil), t.table.is("GrantedAt", 0), clause.Or(t.table.is("Form", nil), t.table.is("Form", ""))}
}

func (t *Tokens) digestRow(ctx context.Context, row tokenRow) (converted int64, err error) {
	old := *row.AsTokenMixin()
	accessRevoked, grantRevoked := column(t.table.column("AccessTokenRevokedAt")), column(t.table.column("RefreshTokenRevokedAt"))
	values := map[string]any{
		"AccessToken":          secret.Digest(old.AccessToken),
		"Form":                 models.TokenDigest,
		"GrantID":              secret.Digest(rand.Text()),
		"GrantedScope":         old.Scope,
		"GrantedAt":            max(old.IssuedAt, 1),
		"ExpiresAt":            old.GetExpiresAt(),
		"AccessTokenRevokedAt": gorm.Expr("COALESCE(?, 0)", accessRevoked),
		"RefreshTokenRevokedAt": gorm.Expr("CASE WHEN COALESCE(?, 0) >= COALESCE(?, 0) THEN COALESCE(?, 0) ELSE COALESCE(?, 0) END",
			grantRevoked, accessRevoked, grantRevoked, accessRevoked),
	}
	if old.RefreshToken != nil && *old.RefreshToken != "" {
		values["RefreshToken"] = secret.Digest(*old.RefreshToken)
		values["ExpiresAt"] = 0 // the refresh token does not expire
	} else {
		values["RefreshToken"] = nil
	}
	// The primary key identifies the row, so that the statement contains no plaintext. If
	// the old program has changed the row in the meantime, its time differs.
	conditions := append(t.unconverted(), t.table.is("IssuedAt", old.IssuedAt))
	err = t.table.do(ctx, step{}, func(tx *tx) (err error) {
		converted, err = tx.withoutHooks().updateRow(row, values, conditions...)
		return err
	})
	return converted, err
}

// DigestPlaintext replaces up to limit client secrets that an older program stored in
// plaintext by their digests, and returns how many it replaced. Call it until it returns 0. A
// stored secret that begins with the name of a hash scheme does not count as plaintext, nor
// do bare hexadecimal digits unless the options say what they are.
func (c *Clients) DigestPlaintext(ctx context.Context, limit int) (rows int, err error) {
	key := column(c.table.column("ClientID"))
	for after := ""; rows < limit; {
		page := plaintextPage
		found, err := c.table.allOf(ctx, append(c.unsaid(), clause.Gt{Column: key, Value: after}),
			clause.OrderBy{Columns: []clause.OrderByColumn{{Column: key}}}, clause.Limit{Limit: &page})
		if err != nil {
			return rows, err
		}
		for _, row := range found {
			mixin := row.(clientRow).AsClientMixin()
			if rows == limit || mixin.ClientID <= after {
				continue
			}
			replaced, err := c.digestSecret(ctx, mixin.GetClientID(), mixin.ClientSecret)
			if err != nil {
				return rows, fmt.Errorf("gormstore: convert a row of %s: %w", c.table.schema.Table, err)
			}
			if replaced {
				rows++
			}
			after = mixin.ClientID
		}
		if len(found) < page || found[len(found)-1].(clientRow).AsClientMixin().ClientID > after && rows < limit {
			return rows, nil
		}
	}
	return rows, nil
}

// plaintextPage is how many clients one statement reads.
const plaintextPage = 500

// unsaid returns the conditions for a secret that does not begin with a scheme that this
// module writes or reads.
func (c *Clients) unsaid() []clause.Expression { return unsaidSecret(c.table.column("ClientSecret")) }

// allOf loads rows, soft-deleted ones included.
func (t *Table) allOf(ctx context.Context, conditions []clause.Expression, more ...clause.Expression) (rows []any, err error) {
	rows, _, err = t.loadAll(t.primary(ctx).Unscoped(), conditions, more...)
	return rows, err
}

// secretSchemes are the patterns of the secrets that begin with a scheme.
var secretSchemes = []string{"$sha256$%", "$2%", "$argon2id$%", "$derived$%"}

// unsaidSecret returns the conditions for a secret that does not begin with a scheme that
// this module writes or reads. They do not match NULL, which means no secret.
func unsaidSecret(name string) []clause.Expression {
	conditions := []clause.Expression{neq(name, "")}
	for _, scheme := range secretSchemes {
		conditions = append(conditions, clause.Not(clause.Like{Column: column(name), Value: scheme}))
	}
	return conditions
}
