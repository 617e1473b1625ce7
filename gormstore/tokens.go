package gormstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// TokenModel is a pointer to a model that embeds models.TokenMixin.
type TokenModel[M any] interface {
	*M
	tokenRow
}

type tokenRow interface {
	storage.Token
	Described
	AsTokenMixin() *models.TokenMixin
}

// Tokens stores access and refresh tokens in rows of the program's model.
type Tokens struct {
	table *Table
	// spent caches the tables of credentials that are exchanged for tokens, by the type of
	// the model.
	spent *sync.Map
}

// NewTokens returns the store, or an error that says what is wrong with the model.
func NewTokens[M any, P TokenModel[M]](db *gorm.DB) (*Tokens, error) {
	table, err := newTable(db, P(new(M)))
	if err != nil {
		return nil, err
	}
	return &Tokens{table, new(sync.Map)}, nil
}

// Pruned returns the table of tokens. A row is pruned when both its access token and its
// refresh token have expired.
func (t *Tokens) Pruned() []*Table { return []*Table{t.table} }

// Erased returns the table of tokens.
func (t *Tokens) Erased() []*Table { return []*Table{t.table} }

// Query finds a token; it is a [storage.QueryTokenFunc]. It returns nil when there is
// none. It looks for a grant by its current refresh token first, because until PostgreSQL
// vacuums, its index on the grant id, which stays the same, has an entry for every
// version of the row.
func (t *Tokens) Query(ctx context.Context, query storage.TokenQuery) (*storage.StoredToken, error) {
	var ways [][]clause.Expression
	if query.AccessToken != "" {
		ways = append(ways, []clause.Expression{t.table.is("AccessToken", query.AccessToken)})
	}
	if query.RefreshToken != "" {
		ways = append(ways, []clause.Expression{t.table.is("RefreshToken", query.RefreshToken)})
	}
	if query.GrantID != "" {
		ways = append(ways, []clause.Expression{t.table.is("GrantID", query.GrantID), t.table.isNot("RefreshToken", nil)})
	}
	if len(ways) == 0 {
		return nil, errors.New("gormstore: the token query is empty")
	}
	for _, conditions := range ways {
		row := t.table.newRow()
		found, err := t.table.find(ctx, row, conditions...)
		if err != nil {
			return nil, err
		}
		if found {
			return &storage.StoredToken{Token: row.(tokenRow), UserID: t.table.userID.get(row)}, nil
		}
	}
	return nil, nil
}

// Save stores a token and spends, rotates or keeps the credential that it is exchanged
// for, as the kind of the exchange says, in one atomic step; it is a
// [storage.SaveTokenFunc]. It returns [storage.ErrSpent] if the credential has already been
// spent or revoked.
func (t *Tokens) Save(ctx context.Context, exchange storage.Exchange) error {
	own := t.table.is("AccessToken", exchange.Token.AccessToken)
	save, several := t.insert, false
	switch exchange.Kind {
	case storage.ExchangeIssue:
	case storage.ExchangeSpend:
		from, err := t.tableOf(exchange.From)
		if err != nil {
			return err
		}
		if save, several = t.spend, true; t.spendsAtOnce(from) {
			save, several = t.spendAtOnce, false
		}
	case storage.ExchangeRotate:
		save, several = t.rotate, exchange.Beside
	case storage.ExchangeKeep:
		save, several = t.keep, true
	case storage.ExchangeDescend:
		save, several = t.descend, true
	default:
		return fmt.Errorf("gormstore: unknown kind of exchange %d", exchange.Kind)
	}
	if refreshes := exchange.Kind != storage.ExchangeIssue && exchange.Kind != storage.ExchangeSpend; refreshes && reflect.TypeOf(exchange.From) != reflect.PointerTo(t.table.schema.ModelType) {
		return fmt.Errorf("gormstore: the token to exchange is a %T, want *%s", exchange.From, t.table.name)
	}
	return t.table.do(ctx, step{outcome: true, own: own, noted: true, several: several}, func(tx *tx) error {
		row, err := t.row(exchange.Token, exchange.User) // made again in each attempt, because an INSERT that was lost has set the primary key
		if err != nil {
			return err
		}
		if err := save(tx, exchange, row); err != nil {
			return err
		}
		return tx.note(tokenEntry(exchange))
	})
}

// events are the events of the audit trail for each kind of exchange.
var events = map[storage.ExchangeKind]string{
	storage.ExchangeIssue: models.AuditTokenIssued, storage.ExchangeSpend: models.AuditTokenIssued,
	storage.ExchangeRotate: models.AuditTokenRefreshed, storage.ExchangeKeep: models.AuditTokenRefreshed,
	storage.ExchangeDescend: models.AuditTokenExchanged,
}

func tokenEntry(exchange storage.Exchange) entry {
	record := exchange.Token
	e := entry{at: exchange.Time, AuditMixin: models.AuditMixin{
		Event: events[exchange.Kind], ClientID: record.ClientID, LongClientID: record.LongClientID, GrantID: record.GrantID,
		GrantType: bounded(exchange.GrantType, maxAuditGrantType), Scope: record.Scope, Audience: record.Audience, AuthorizationDetails: record.AuthorizationDetails,
	}}
	if exchange.User != nil {
		e.userID = exchange.User.GetUserID()
	}
	return e
}

// row returns a new row of the program's model with the record and the user.
func (t *Tokens) row(record *models.TokenMixin, user storage.User) (row tokenRow, err error) {
	row = t.table.newRow().(tokenRow)
	*row.AsTokenMixin() = *record
	if user != nil {
		err = t.table.userID.set(row, user.GetUserID())
	}
	return row, err
}

func (t *Tokens) insert(tx *tx, _ storage.Exchange, row tokenRow) error {
	_, err := tx.insert(row)
	return err
}

// descend inserts the token that another one is exchanged for, unless that one was
// revoked. It changes the row of the exchanged token, rather than only reading it, so
// that this step and a revocation on another node conflict, and one of them has to wait
// or start again.
func (t *Tokens) descend(tx *tx, exchange storage.Exchange, row tokenRow) error {
	changed, err := tx.update(map[string]any{"Exchanges": t.oneMore("Exchanges")},
		t.table.is("AccessToken", exchange.From.(tokenRow).AsTokenMixin().AccessToken), t.table.isZero("AccessTokenRevokedAt"), t.table.isZero("RefreshTokenRevokedAt"))
	if err != nil {
		return err
	}
	if changed != 1 {
		return storage.ErrSpent
	}
	return t.insert(tx, exchange, row)
}

// oneMore returns an expression that increments a counter. It changes the row in any
// case, because MySQL does not count rows that an UPDATE leaves unchanged.
func (t *Tokens) oneMore(field string) clause.Expr {
	return clause.Expr{SQL: "? + 1", Vars: []any{column(t.table.column(field))}}
}

// rotate replaces a refresh token and its access token in their row by their successors.
// One statement decides: the row must still have the refresh token that was presented,
// and its grant must not be revoked.
func (t *Tokens) rotate(tx *tx, exchange storage.Exchange, row tokenRow) error {
	if exchange.Beside {
		return t.keep(tx, exchange, row)
	}
	record := exchange.Token
	changed, err := tx.updateRow(exchange.From, map[string]any{
		"AccessToken":           record.AccessToken,
		"Form":                  record.Form,
		"RefreshToken":          record.RefreshToken,
		"TokenType":             record.TokenType,
		"Scope":                 record.Scope,
		"Audience":              record.Audience,
		"Confirmation":          record.Confirmation,
		"AuthorizationDetails":  record.AuthorizationDetails,
		"IssuedAt":              record.IssuedAt,
		"ExpiresIn":             record.ExpiresIn,
		"AccessTokenRevokedAt":  0,
		"GrantID":               record.GrantID,
		"Issuer":                record.Issuer,
		"RotatedAt":             record.IssuedAt,
		"RefreshedFor":          record.RefreshedFor,
		"SuccessorSalt":         record.SuccessorSalt,
		"RefreshTokenExpiresAt": record.RefreshTokenExpiresAt,
		"ExpiresAt":             record.ExpiresAt,
	}, t.current(exchange.Presented)...)
	if err == nil && changed != 1 {
		return storage.ErrSpent
	}
	return err
}

// keep stores an access token in a row of its own, beside the one in the row of the refresh
// token: the refresh token is not rotated, or the access token is for other resources.
// Separate rows let both of two access tokens that are requested at once stay valid.
func (t *Tokens) keep(tx *tx, exchange storage.Exchange, row tokenRow) error {
	if err := t.renew(tx, exchange); err != nil {
		return err
	}
	withoutRefreshToken(row)
	return t.insert(tx, exchange, row)
}

// withoutRefreshToken turns a row into one that has only an access token.
func withoutRefreshToken(row tokenRow) *models.TokenMixin {
	access := row.AsTokenMixin()
	access.RefreshToken, access.RefreshTokenExpiresAt, access.ExpiresAt = nil, 0, access.IssuedAt+access.ExpiresIn
	access.Origin, access.RefreshedFor, access.SuccessorSalt = models.MadeByRefresh, "", ""
	return access
}

// renew replaces a refresh token in its row by its successor, or keeps it, without
// changing the access token there. It runs before the insert, because every rotation and
// revocation changes that row first.
func (t *Tokens) renew(tx *tx, exchange storage.Exchange) error {
	record, values := exchange.Token, map[string]any{"Exchanges": t.oneMore("Exchanges")}
	if !exchange.Again {
		maps.Copy(values, map[string]any{
			"RefreshToken":          record.RefreshToken,
			"RotatedAt":             record.IssuedAt,
			"RefreshedFor":          record.RefreshedFor,
			"SuccessorSalt":         record.SuccessorSalt,
			"RefreshTokenExpiresAt": record.RefreshTokenExpiresAt,
			"ExpiresAt":             record.ExpiresAt,
		})
	}
	changed, err := tx.updateRow(exchange.From, values, t.current(exchange.Presented)...)
	if err == nil && changed != 1 {
		return storage.ErrSpent
	}
	return err
}

// current returns the conditions for the row of a refresh token that is current and not
// revoked.
func (t *Tokens) current(refreshToken string) []clause.Expression {
	return []clause.Expression{t.table.is("RefreshToken", refreshToken), t.table.isZero("RefreshTokenRevokedAt")}
}

// RevokeToken revokes a single access token; it is a [endpoint.RevokeTokenFunc].
func (t *Tokens) RevokeToken(ctx context.Context, accessToken string, now time.Time) error {
	return t.table.do(ctx, step{noted: true}, func(tx *tx) error {
		revoked, err := tx.update(map[string]any{"AccessTokenRevokedAt": now.Unix()},
			t.table.is("AccessToken", accessToken), t.table.isZero("AccessTokenRevokedAt"))
		if err != nil || revoked == 0 {
			return err
		}
		return tx.note(entry{at: now, AuditMixin: models.AuditMixin{Event: models.AuditTokenRevoked}})
	})
}
