package gormstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// TokenModel is a pointer to a model that embeds models.TokenMixin.
type TokenModel[M any] interface {
	*M
	server.Token
	AsTokenMixin() *models.TokenMixin
}

// Tokens keeps access and refresh tokens in rows of the program's model M.
type Tokens[M any, P TokenModel[M]] struct {
	store   *store
	columns columns
}

// NewTokens returns the store, or what is wrong with the model.
func NewTokens[M any, P TokenModel[M]](db *gorm.DB) (*Tokens[M, P], error) {
	s, names, err := newGrantedStore(db, new(M), models.TokenMixin{})
	if err != nil {
		return nil, err
	}
	return &Tokens[M, P]{s, names}, nil
}

// Query finds a token; it is a [server.QueryTokenFunc]. A grant is looked for by
// its current refresh token first: PostgreSQL keeps every version of a row under
// the grant, which stays, until it vacuums.
func (t *Tokens[M, P]) Query(ctx context.Context, query server.TokenQuery) (*server.StoredToken, error) {
	var ways [][]clause.Expression
	if query.AccessToken != "" {
		ways = append(ways, []clause.Expression{t.is("AccessToken", query.AccessToken)})
	}
	if query.RefreshToken != "" {
		ways = append(ways, []clause.Expression{t.is("RefreshToken", query.RefreshToken)})
	}
	if query.GrantID != "" {
		ways = append(ways, []clause.Expression{t.is("GrantID", query.GrantID), neq(t.columns["RefreshToken"], nil)})
	}
	if len(ways) == 0 {
		return nil, errors.New("gormstore: the token query is empty")
	}
	for _, conditions := range ways {
		row := new(M)
		found, err := t.store.find(ctx, row, conditions...)
		if err != nil {
			return nil, err
		}
		if found {
			return &server.StoredToken{Token: P(row), UserID: t.store.userID.get(row)}, nil
		}
	}
	return nil, nil
}

// Save stores a token and spends what it was exchanged for, in one atomic
// step; it is a [server.SaveTokenFunc].
func (t *Tokens[M, P]) Save(ctx context.Context, record *models.TokenMixin, req *server.Request) error {
	return t.store.act(ctx, t.is("AccessToken", record.AccessToken), func(db *gorm.DB) error {
		event, err := t.save(db, record, req)
		if err != nil {
			return err
		}
		return t.store.trail.note(db, tokenEntry(event, record, req))
	})
}

// save is the step of Save. It returns what it was to the audit trail.
func (t *Tokens[M, P]) save(db *gorm.DB, record *models.TokenMixin, req *server.Request) (event string, err error) {
	if req.Credential == nil {
		row, err := t.row(record, req)
		if err != nil {
			return "", err
		}
		if req.Subject != nil {
			return models.AuditTokenExchanged, t.descend(db, row, req.Subject)
		}
		_, err = t.store.insert(db, row)
		return models.AuditTokenIssued, err
	}
	row, refreshes := req.Credential.Record.(P)
	switch {
	case !refreshes:
		return models.AuditTokenIssued, t.exchange(db, record, req)
	case record.RefreshToken != nil && *record.RefreshToken == req.Credential.Presented.Digest:
		return models.AuditTokenRefreshed, t.issueBeside(db, row, record, req)
	case row.AsTokenMixin().Audience != record.Audience:
		return models.AuditTokenRefreshed, t.rotateBeside(db, row, record, req)
	}
	return models.AuditTokenRefreshed, t.rotate(db, row, record, req.Credential.Presented.Digest)
}

func tokenEntry(event string, record *models.TokenMixin, req *server.Request) entry {
	e := entry{at: req.Time, AuditMixin: models.AuditMixin{
		Event: event, ClientID: record.ClientID, LongClientID: record.LongClientID, GrantID: record.GrantID,
		GrantType: bounded(req.GrantType, maxAuditGrantType), Scope: record.Scope, Audience: record.Audience, AuthorizationDetails: record.AuthorizationDetails,
	}}
	if req.User != nil {
		e.userID = req.User.GetUserID()
	}
	return e
}

// exchange spends a code, or a credential of another kind, and inserts the
// token.
func (t *Tokens[M, P]) exchange(db *gorm.DB, record *models.TokenMixin, req *server.Request) error {
	row, err := t.row(record, req)
	if err != nil {
		return err
	}
	spending, err := spendingStatement(db, req.Credential, req.Time)
	if err != nil {
		return err
	}
	if spending != nil && !t.store.hooksOnCreate() {
		inserted, err := t.store.insert(db.Clauses(insertIf{spending}), row)
		if err == nil && inserted == 0 {
			return server.ErrSpent
		}
		return err
	}
	return atomically(db, func(tx *gorm.DB) error {
		won, err := spend(tx, req.Credential, req.Time)
		if err != nil {
			return err
		}
		if !won {
			return server.ErrSpent
		}
		_, err = t.store.insert(tx, row)
		return err
	})
}

// descend inserts a token that was exchanged for another, unless that was
// revoked. The row of that one is changed, not just looked at, so that of this
// and a revocation on another node one has to wait, or to begin anew.
func (t *Tokens[M, P]) descend(db *gorm.DB, row *M, subject *server.StoredToken) error {
	parent, ok := subject.Token.(P)
	if !ok {
		return fmt.Errorf("gormstore: the token to exchange is a %T, want %T", subject.Token, row)
	}
	return atomically(db, func(tx *gorm.DB) error {
		changed, err := t.store.update(tx, new(M), t.values(map[string]any{
			"Exchanges": t.oneMore("Exchanges"),
		}), t.is("AccessToken", parent.AsTokenMixin().AccessToken), t.is("AccessTokenRevokedAt", 0), t.is("RefreshTokenRevokedAt", 0))
		if err != nil {
			return err
		}
		if changed != 1 {
			return server.ErrSpent
		}
		_, err = t.store.insert(tx, row)
		return err
	})
}

// oneMore is the value of a counter after one more. It changes the row in any case:
// MySQL counts a row that it would leave as it is for none.
func (t *Tokens[M, P]) oneMore(field string) clause.Expr {
	return clause.Expr{SQL: "? + 1", Vars: []any{column(t.columns[field])}}
}

// row places a record in a new row of the program's own model.
func (t *Tokens[M, P]) row(record *models.TokenMixin, req *server.Request) (*M, error) {
	row := new(M)
	*P(row).AsTokenMixin() = *record
	if req.User == nil {
		return row, nil
	}
	return row, t.store.userID.set(row, req.User.GetUserID())
}

// rotate puts the successors of a refresh token and its access token in their
// row. One statement decides: the row must still hold the refresh token that
// was presented, and its grant must not be revoked.
func (t *Tokens[M, P]) rotate(db *gorm.DB, row P, record *models.TokenMixin, presented string) error {
	changed, err := t.store.update(db, row, t.values(map[string]any{
		"AccessToken":           record.AccessToken,
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
		"RotatedAt":             record.IssuedAt,
		"RefreshTokenExpiresAt": record.RefreshTokenExpiresAt,
		"ExpiresAt":             record.ExpiresAt,
	}), t.current(presented)...)
	if err == nil && changed != 1 {
		return server.ErrSpent
	}
	return err
}

// rotateBeside is rotate for an access token of other resources: the one in
// the row stays, and the new one gets a row of its own, in which it replaces an
// earlier one of the same resources.
func (t *Tokens[M, P]) rotateBeside(db *gorm.DB, row P, record *models.TokenMixin, req *server.Request) error {
	beside, err := t.beside(record, req)
	if err != nil {
		return err
	}
	return atomically(db, func(tx *gorm.DB) error {
		if err := t.renew(tx, row, record, req.Credential.Presented.Digest); err != nil {
			return err
		}
		next := P(beside).AsTokenMixin()
		changed, err := t.store.update(tx, new(M), t.values(map[string]any{
			"AccessToken":          next.AccessToken,
			"TokenType":            next.TokenType,
			"Scope":                next.Scope,
			"Confirmation":         next.Confirmation,
			"AuthorizationDetails": next.AuthorizationDetails,
			"IssuedAt":             next.IssuedAt,
			"ExpiresIn":            next.ExpiresIn,
			"AccessTokenRevokedAt": 0,
			"ExpiresAt":            next.ExpiresAt,
		}), t.is("GrantID", next.GrantID), t.is("RefreshToken", nil), t.is("Audience", next.Audience),
			t.is("ClientID", next.ClientID), clause.Or(t.is("Actor", nil), t.is("Actor", "")))
		if err != nil || changed > 0 {
			return err
		}
		_, err = t.store.insert(tx, beside)
		return err
	})
}

// issueBeside is for a refresh token that is kept: each access token that it gets
// has a row of its own, since of two that are asked for at once both are to live.
func (t *Tokens[M, P]) issueBeside(db *gorm.DB, row P, record *models.TokenMixin, req *server.Request) error {
	beside, err := t.beside(record, req)
	if err != nil {
		return err
	}
	return atomically(db, func(tx *gorm.DB) error {
		if err := t.renew(tx, row, record, req.Credential.Presented.Digest); err != nil {
			return err
		}
		_, err := t.store.insert(tx, beside)
		return err
	})
}

// beside is a row for an access token without the refresh token of its record.
func (t *Tokens[M, P]) beside(record *models.TokenMixin, req *server.Request) (*M, error) {
	access := *record
	access.RefreshToken, access.RefreshTokenExpiresAt, access.ExpiresAt = nil, 0, record.IssuedAt+record.ExpiresIn
	return t.row(&access, req)
}

// renew puts the successor of a refresh token in its row, or lets the same one
// stand, and leaves the access token there alone. It comes first: every rotation
// and revocation changes that row first.
func (t *Tokens[M, P]) renew(tx *gorm.DB, row P, record *models.TokenMixin, presented string) error {
	changed, err := t.store.update(tx, row, t.values(map[string]any{
		"RefreshToken":          record.RefreshToken,
		"RotatedAt":             record.IssuedAt,
		"RefreshTokenExpiresAt": record.RefreshTokenExpiresAt,
		"ExpiresAt":             record.ExpiresAt,
		"Exchanges":             t.oneMore("Exchanges"),
	}), t.current(presented)...)
	if err == nil && changed != 1 {
		return server.ErrSpent
	}
	return err
}

// current is true of the row of a refresh token that may be rotated.
func (t *Tokens[M, P]) current(refreshToken string) []clause.Expression {
	return []clause.Expression{t.is("RefreshToken", refreshToken), t.is("RefreshTokenRevokedAt", 0)}
}

// RevokeToken revokes one access token; it is a [server.RevokeTokenFunc].
func (t *Tokens[M, P]) RevokeToken(ctx context.Context, accessToken string, now time.Time) error {
	return t.store.write(ctx, func(bool) error {
		return t.store.trail.together(t.store.conn(ctx), func(db *gorm.DB) error {
			revoked, err := t.store.update(db, new(M), t.values(map[string]any{"AccessTokenRevokedAt": now.Unix()}),
				t.is("AccessToken", accessToken), t.is("AccessTokenRevokedAt", 0))
			if err != nil || revoked == 0 {
				return err
			}
			return t.store.trail.note(db, entry{at: now, AuditMixin: models.AuditMixin{Event: models.AuditTokenRevoked}})
		})
	})
}

// RevokeGrant revokes every token of a grant; it is a [server.RevokeGrantFunc].
// The row with the refresh token comes first: a rotation changes the same row,
// so either it is seen here or it sees the revocation. The others come twice: what
// was being exchanged for one of them meanwhile is seen by now.
func (t *Tokens[M, P]) RevokeGrant(ctx context.Context, grantID string, now time.Time) error {
	if grantID == "" {
		return errors.New("gormstore: the grant to revoke has no id")
	}
	return t.store.write(ctx, func(bool) error {
		return atomically(t.store.conn(ctx), func(tx *gorm.DB) error {
			revoked, err := t.revokeGrants(tx, now, t.is("GrantID", grantID))
			if err != nil || revoked == 0 {
				return err
			}
			return t.store.trail.note(tx, entry{at: now, AuditMixin: models.AuditMixin{Event: models.AuditGrantRevoked, GrantID: grantID}})
		})
	})
}

// revokeGrants revokes the tokens that the conditions name, in that order, and
// returns how many there were.
func (t *Tokens[M, P]) revokeGrants(tx *gorm.DB, now time.Time, conditions ...clause.Expression) (revoked int64, err error) {
	root, others := neq(t.columns["RefreshToken"], nil), eq(t.columns["RefreshToken"], nil)
	for _, which := range []clause.Expression{root, others, others} {
		n, err := t.revoke(tx, now, append(slices.Clone(conditions), which)...)
		if err != nil {
			return revoked, err
		}
		revoked += n
	}
	return revoked, nil
}

// RevokeClient revokes every token of a client, for the day it is deleted or
// its secret has leaked.
func (t *Tokens[M, P]) RevokeClient(ctx context.Context, clientID string, now time.Time) error {
	if clientID == "" {
		return errors.New("gormstore: the client whose tokens to revoke has no id")
	}
	return t.store.write(ctx, func(bool) error {
		return t.store.trail.together(t.store.conn(ctx), func(db *gorm.DB) error {
			revoked, err := t.revoke(db, now, t.is("ClientID", models.ClientKey(clientID)))
			if err != nil || revoked == 0 {
				return err
			}
			return t.store.trail.note(db, clientEntry(models.AuditAllRevoked, clientID, now))
		})
	})
}

func (t *Tokens[M, P]) revoke(db *gorm.DB, now time.Time, conditions ...clause.Expression) (revoked int64, err error) {
	return t.store.update(db, new(M), t.values(map[string]any{"RefreshTokenRevokedAt": now.Unix()}),
		append(conditions, t.is("RefreshTokenRevokedAt", 0))...)
}

func (t *Tokens[M, P]) is(field string, value any) clause.Expression {
	return eq(t.columns[field], value)
}

// values turns the names of the mixin's fields into those of the columns.
func (t *Tokens[M, P]) values(byField map[string]any) map[string]any {
	byColumn := make(map[string]any, len(byField))
	for field, value := range byField {
		name, ok := t.columns[field]
		if !ok {
			panic(fmt.Sprintf("gormstore: models.TokenMixin has no field %s", field)) // a slip in this file
		}
		byColumn[name] = value
	}
	return byColumn
}
