package gormstore

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// grants are the tables in which there is what came of grants. Whatever ends something
// ends it by them: a grant, a session, a consent, a client, a user.
type grants struct {
	tokens *Table
	// single are those of what becomes tokens once: codes, device authorizations, and the
	// program's own.
	single []*Table
}

// grants returns the tables of what came of grants: the tokens, what is given, and the
// relatives of the pool.
func (t *Tokens) grants(given ...*Table) grants {
	g := grants{tokens: t.table}
	seen := make(map[string]bool)
	for _, table := range append(slices.Clone(given), t.table.ofKin(func(f *family) map[string]*Table { return f.single })...) {
		if table.about.SpentAt != "" && !seen[table.schema.Table] {
			seen[table.schema.Table] = true
			g.single = append(g.single, table)
		}
	}
	return g
}

// tablesOf returns the tables of stores.
func tablesOf(stores []Erasable) (tables []*Table) {
	for _, store := range stores {
		tables = append(tables, store.Erased()...)
	}
	return tables
}

// selection says whose grants end: those of a client, of a user, or of both. A field that
// is empty leaves it open.
type selection struct {
	clientID string
	userID   string
}

// in returns what is true of the selection's rows in a table. ok is false where the table
// does not say whose its rows are.
func (s selection) in(ctx context.Context, t *Table) (conditions []clause.Expression, ok bool, err error) {
	if s.clientID != "" {
		if t.about.ClientID == "" {
			return nil, false, nil
		}
		conditions = append(conditions, t.is(t.about.ClientID, models.ClientKey(s.clientID)))
	}
	if s.userID != "" {
		if !t.about.OfUser {
			return nil, false, nil
		}
		theirs, err := t.theirs(ctx, s.userID)
		if err != nil {
			return nil, false, err
		}
		conditions = append(conditions, theirs)
	}
	return conditions, len(conditions) > 0, nil
}

const (
	// endedAtOnce is how many rows one step looks at.
	endedAtOnce = 500
	// maxDescent is how many times tokens are exchanged for one another while their
	// grant is being ended, at most.
	maxDescent = 64
)

// errStillGrowing is for a grant of which there were always new tokens.
var errStillGrowing = fmt.Errorf("gormstore: a grant was exchanged faster than it could be ended: %w", server.ErrUnavailable)

// errNothingEnds is for rows that are found and cannot be changed.
var errNothingEnds = errors.New("gormstore: what is to end is found and does not change; look whether a trigger, a hook or a condition of the handle keeps it")

// end ends grants whole, whoever holds what came of them, and returns how many rows ended.
//
// What becomes a token comes first: what is redeemed meanwhile is waited for, and its
// token is seen then. The row with the refresh token comes next: a rotation changes the
// same row, so either it is seen here or it sees the revocation. The others come until
// there are none: an exchange changes the row that it exchanges, so what one was waited
// for has left is seen the next time.
func (g grants) end(tx *tx, now time.Time, grantIDs ...string) (ended int64, err error) {
	if len(grantIDs) == 0 {
		return 0, nil
	}
	for _, table := range g.single {
		if table.about.GrantID == "" {
			continue
		}
		n, err := tx.on(table).void(now, table.in(table.about.GrantID, grantIDs))
		if ended += n; err != nil {
			return ended, err
		}
	}
	tokens, theirs := tx.on(g.tokens), g.tokens.in("GrantID", grantIDs)
	n, err := revoke(tokens, now, theirs, g.tokens.isNot("RefreshToken", nil))
	if ended += n; err != nil {
		return ended, err
	}
	for range maxDescent {
		n, err := revoke(tokens, now, theirs, g.tokens.is("RefreshToken", nil))
		if ended += n; err != nil || n == 0 {
			return ended, err
		}
	}
	return ended, errStillGrowing
}

// revoke revokes the tokens that the conditions name, with all that their rows can still
// become, and returns how many there were. A row that would have stayed for ever goes
// when it is pruned next.
func revoke(tx *tx, now time.Time, conditions ...clause.Expression) (revoked int64, err error) {
	t := tx.table
	expiresAt := column(t.column("ExpiresAt"))
	return tx.update(map[string]any{
		"RefreshTokenRevokedAt": now.Unix(),
		"ExpiresAt":             gorm.Expr("CASE WHEN ? = 0 THEN ? ELSE ? END", expiresAt, now.Unix(), expiresAt),
	}, append(conditions, t.isZero("RefreshTokenRevokedAt"))...)
}

// in is true of a row in which a field of the model has one of the values.
func (t *Table) in(field string, values []string) clause.Expression {
	all := make([]any, len(values))
	for i, value := range values {
		all[i] = value
	}
	return clause.IN{Column: column(t.column(field)), Values: all}
}

// textIn returns the text in a field of a row, empty for NULL.
func (t *Table) textIn(row any, field string) string {
	value := t.schema.FieldsByDBName[t.column(field)].ReflectValueOf(context.Background(), reflect.ValueOf(row).Elem())
	for value.Kind() == reflect.Pointer {
		if value.IsNil() {
			return ""
		}
		value = value.Elem()
	}
	if value.Kind() != reflect.String {
		return ""
	}
	return value.String()
}

// locked has a list wait for what is being changed, and see what was committed since the
// transaction began, on MySQL as elsewhere. SQLite, which has one writer, knows no other.
var locked = clause.Locking{Strength: clause.LockingStrengthUpdate}

// endAll ends all grants of a selection, in steps of a bounded number of rows, each of them
// atomic. When it is interrupted, it goes on where it is called again. The last step is
// told how much has ended, so that it can note it.
func (g grants) endAll(ctx context.Context, s selection, now time.Time, note func(tx *tx, ended int64) error) (ended int64, err error) {
	for {
		var n int64
		last := false
		err := g.tokens.do(ctx, step{several: true}, func(tx *tx) (err error) {
			switch n, last, err = g.endSome(tx, s, now); {
			case err != nil:
				return err
			case !last && n == 0:
				return errNothingEnds
			case !last:
				return nil
			}
			return note(tx, ended+n)
		})
		if ended += n; err != nil || last {
			return ended, err
		}
	}
}

// endWithin ends all grants of a selection in one step.
func (g grants) endWithin(tx *tx, s selection, now time.Time) (ended int64, err error) {
	for {
		n, last, err := g.endSome(tx, s, now)
		switch ended += n; {
		case err != nil || last:
			return ended, err
		case n == 0:
			return ended, errNothingEnds
		}
	}
}

// endSome ends some grants of a selection. last says that there are no more.
//
// A client's own grants end whole. In the grants of others, a client's rows end, with what
// came of them, and nothing else. A user's grants have no rows but theirs.
func (g grants) endSome(tx *tx, s selection, now time.Time) (ended int64, last bool, err error) {
	last = true
	var whole []string
	found := grants{tokens: g.tokens} // what a client or a user has not spent is all that their grants could become
	for _, table := range g.single {
		rows, err := g.unspent(tx.on(table), s)
		if err != nil {
			return 0, false, err
		}
		last = last && len(rows) < endedAtOnce
		var alone []string
		for _, row := range rows {
			grantID := ""
			if table.about.GrantID != "" {
				grantID = table.textIn(row, table.about.GrantID)
			}
			if grantID != "" {
				whole = append(whole, grantID)
				if !slices.Contains(found.single, table) {
					found.single = append(found.single, table)
				}
			} else {
				alone = append(alone, table.textIn(row, table.about.Key))
			}
		}
		if len(alone) > 0 {
			n, err := tx.on(table).void(now, table.in(table.about.Key, alone))
			if ended += n; err != nil {
				return ended, false, err
			}
		}
	}
	conditions, ok, err := s.in(tx.db.Statement.Context, g.tokens)
	if err != nil || !ok {
		return ended, last, err
	}
	tokens := tx.on(g.tokens)
	rows, err := tokens.list(append(conditions, g.tokens.isZero("RefreshTokenRevokedAt")), locked, limited(endedAtOnce))
	if err != nil {
		return ended, false, err
	}
	last = last && len(rows) < endedAtOnce
	parted, err := g.part(tokens, s, rows)
	if err != nil {
		return ended, false, err
	}
	n, err := found.end(tx, now, unique(append(whole, parted.whole...))...)
	if ended += n; err != nil {
		return ended, false, err
	}
	if len(parted.alone) > 0 {
		n, err := revoke(tokens, now, g.tokens.in("AccessToken", parted.alone))
		if ended += n; err != nil {
			return ended, false, err
		}
	}
	for _, grantID := range parted.others {
		n, err := g.endBranch(tokens, now, grantID, parted.branches[grantID])
		if ended += n; err != nil {
			return ended, false, err
		}
	}
	return ended, last, nil
}

// unspent are rows of a selection that could still become a token.
func (grants) unspent(tx *tx, s selection) ([]any, error) {
	conditions, ok, err := s.in(tx.db.Statement.Context, tx.table)
	if err != nil || !ok {
		return nil, err
	}
	return tx.list(append(conditions, tx.table.isZero(tx.table.about.SpentAt)), locked, limited(endedAtOnce))
}

func limited(rows int) clause.Expression { return clause.Limit{Limit: &rows} }

func unique(texts []string) []string {
	slices.Sort(texts)
	return slices.Compact(texts)
}

// parted is what is to end of a selection's tokens.
type parted struct {
	whole    []string            // grants that end whole
	alone    []string            // tokens without a grant
	others   []string            // grants of others
	branches map[string][]string // tokens in the grants of others, which end with what came of them
}

// part says of tokens what ends with them.
func (g grants) part(tx *tx, s selection, rows []any) (parted, error) {
	p := parted{branches: make(map[string][]string)}
	unknown := make(map[string][]string) // of an older release, which did not say what made a row
	for _, row := range rows {
		token := row.(tokenRow).AsTokenMixin()
		switch {
		case token.GrantID == "":
			p.alone = append(p.alone, token.AccessToken)
		case s.clientID == "", token.RefreshToken != nil, token.Origin != "" && token.Origin != models.MadeByExchange:
			p.whole = append(p.whole, token.GrantID)
		case token.Origin == "":
			unknown[token.GrantID] = append(unknown[token.GrantID], token.AccessToken)
		default:
			p.branches[token.GrantID] = append(p.branches[token.GrantID], token.AccessToken)
		}
	}
	if err := g.partOlder(tx, &p, unknown); err != nil {
		return p, err
	}
	for grantID := range p.branches {
		if !slices.Contains(p.whole, grantID) {
			p.others = append(p.others, grantID)
		}
	}
	slices.Sort(p.others)
	return p, nil
}

// partOlder tells the rows of an older release that a client got in its own grant from
// those that it got in another's: there the refresh token is another client's.
func (g grants) partOlder(tx *tx, p *parted, unknown map[string][]string) error {
	if len(unknown) == 0 {
		return nil
	}
	var grantIDs []string
	for grantID := range unknown {
		grantIDs = append(grantIDs, grantID)
	}
	roots, err := tx.list([]clause.Expression{g.tokens.in("GrantID", grantIDs), g.tokens.isNot("RefreshToken", nil)})
	if err != nil {
		return err
	}
	for _, row := range roots {
		if grantID := row.(tokenRow).AsTokenMixin().GrantID; unknown[grantID] != nil {
			p.branches[grantID] = append(p.branches[grantID], unknown[grantID]...)
			delete(unknown, grantID)
		}
	}
	for grantID := range unknown {
		p.whole = append(p.whole, grantID)
	}
	return nil
}

// endBranch revokes tokens of a grant, and all that came of them, until there is nothing
// more.
func (g grants) endBranch(tx *tx, now time.Time, grantID string, accessTokens []string) (ended int64, err error) {
	for range maxDescent {
		rows, err := tx.list([]clause.Expression{g.tokens.is("GrantID", grantID)}, locked)
		if err != nil {
			return ended, err
		}
		alive := descendants(rows, accessTokens)
		if len(alive) == 0 {
			return ended, nil
		}
		n, err := revoke(tx, now, g.tokens.in("AccessToken", alive))
		if ended += n; err != nil {
			return ended, err
		}
	}
	return ended, errStillGrowing
}

// descendants returns those of a grant's tokens that are alive and are among the named or
// came of one, also of one that was revoked before.
func descendants(rows []any, accessTokens []string) (alive []string) {
	from, in := make(map[string]bool), make(map[string]bool)
	for grown := true; grown; {
		grown = false
		for _, row := range rows {
			token := row.(tokenRow).AsTokenMixin()
			if in[token.AccessToken] || !slices.Contains(accessTokens, token.AccessToken) && !from[token.ExchangedFrom] {
				continue
			}
			grown, in[token.AccessToken] = true, true
			if token.TokenID != "" {
				from[token.TokenID] = true
			}
			if token.RefreshTokenRevokedAt == 0 {
				alive = append(alive, token.AccessToken)
			}
		}
	}
	return alive
}

// RevokeGrant revokes every token of a grant, and what could become one; it is a
// [server.RevokeGrantFunc].
func (t *Tokens) RevokeGrant(ctx context.Context, grantID string, now time.Time) error {
	if grantID == "" {
		return errors.New("gormstore: the grant to revoke has no id")
	}
	req := server.RequestFromContext(ctx)
	return t.table.do(ctx, step{several: true, stays: req != nil && req.Reuse}, func(tx *tx) error {
		ended, err := t.grants().end(tx, now, grantID)
		if err != nil || ended == 0 {
			return err
		}
		return tx.note(entry{at: now, AuditMixin: models.AuditMixin{Event: models.AuditGrantRevoked, GrantID: grantID}})
	})
}

// RevokeClient ends all grants of a client: its tokens, and its codes and device
// authorizations that nobody has redeemed, for the day it is deleted or its secret has
// leaked. What others got in its grants by exchange (RFC 8693) ends, too; of what it got in
// the grants of others, its own tokens end, and what came of them. It goes step by step:
// when it was interrupted, call it again. A client that has nothing is no error.
//
// It finds codes and device authorizations in the stores that were made of the same
// database with the same conditions, and in those that more names: name them where there are
// several tables of tokens, or the handle has scopes.
func (t *Tokens) RevokeClient(ctx context.Context, clientID string, now time.Time, more ...Erasable) error {
	if clientID == "" {
		return errors.New("gormstore: the client whose tokens to revoke has no id")
	}
	return t.revokeAll(ctx, selection{clientID: clientID}, server.RevokedByClient, now, more)
}

// RevokeUser ends all grants of a user, as RevokeClient does: for one who is disabled, or
// who signs out everywhere. What is to be erased as well goes by [Erase].
func (t *Tokens) RevokeUser(ctx context.Context, userID string, now time.Time, more ...Erasable) error {
	if userID == "" {
		return errors.New("gormstore: the user whose tokens to revoke has no id")
	}
	return t.revokeAll(ctx, selection{userID: userID}, server.RevokedByUser, now, more)
}

func (t *Tokens) revokeAll(ctx context.Context, s selection, reason string, now time.Time, more []Erasable) error {
	ended, err := t.grants(tablesOf(more)...).endAll(ctx, s, now, func(tx *tx, ended int64) error {
		if ended == 0 {
			return nil
		}
		e := clientEntry(models.AuditAllRevoked, s.clientID, now)
		e.userID = s.userID
		return tx.note(e)
	})
	if err == nil && ended > 0 {
		t.table.tell(ctx, server.Revocation{ClientID: s.clientID, UserID: s.userID, Reason: reason}, now)
	}
	return err
}

// TellRevocationsTo has the server's hooks be told of what RevokeClient, RevokeUser and
// [Erase] end. [gormoauth.New] does so with its parts.
//
// [gormoauth.New]: https://pkg.go.dev/github.com/gormoauth/gormoauth#New
func (t *Tokens) TellRevocationsTo(s *server.Server) { t.table.TellRevocationsTo(s) }
