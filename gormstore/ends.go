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
	"gorm.io/gorm/schema"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/budget"
	"github.com/gormoauth/gormoauth/server/storage"
)

// grants are the tables with rows that belong to grants. Everything that ends grants does
// so through them: revoking a grant, and ending a session, a consent, a client or a user.
type grants struct {
	tokens *Table
	// single are the tables of single-use credentials that are exchanged for tokens: codes,
	// device authorizations, and the program's own.
	single []*Table
}

// grants returns the tables with rows that belong to grants: the table of tokens, the
// given tables, and the relatives of the pool.
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

// selection says whose grants end: those of a client, of a user, or of a user at a
// client. An empty field does not restrict it.
type selection struct {
	clientID string
	userID   string
	// clientBefore and userBefore restrict it to what was issued before these generations; 0
	// means everything.
	clientBefore int64
	userBefore   int64
}

// in returns the conditions for the selection's rows in a table that have not ended, or none if
// the table does not say whose its rows are.
func (s selection) in(ctx context.Context, t *Table, now time.Time) (conditions []clause.Expression, err error) {
	if s.clientID != "" {
		if t.about.ClientID == "" {
			return nil, nil
		}
		conditions = append(conditions, append(t.before("ClientGeneration", s.clientBefore), t.is(t.about.ClientID, models.ClientKey(s.clientID)))...)
	}
	if s.userID != "" {
		if !t.about.OfUser {
			return nil, nil
		}
		theirs, err := t.theirs(ctx, s.userID)
		if err != nil {
			return nil, err
		}
		conditions = append(conditions, append(t.before("UserGeneration", s.userBefore), theirs)...)
	}
	if len(conditions) == 0 {
		return nil, nil
	}
	if t.about.SpentAt == "" {
		return append(conditions, t.isZero("RefreshTokenRevokedAt")), nil
	}
	return append(append(conditions, t.isZero(t.about.SpentAt)), t.mayCount(now)...), nil
}

// uselessAfter is how long after its expiry a single-use credential counts nowhere, however far the
// clocks of two instances are apart.
const uselessAfter = time.Hour

// mayCount returns the condition for single-use credentials that can still be exchanged. Nearly all
// rows have been exchanged or have expired: by the index of their expiry, the others are found without
// reading all of a client or a user.
func (t *Table) mayCount(now time.Time) []clause.Expression {
	if t.about.ExpiresAt == "" {
		return nil
	}
	expires := t.column(t.about.ExpiresAt)
	mayCount := clause.Expression(clause.Gt{Column: column(expires), Value: now.Add(-uselessAfter).Unix()})
	if t.about.ZeroIsForever {
		mayCount = clause.Or(eq(expires, 0), mayCount)
	}
	return []clause.Expression{mayCount}
}

// before returns the condition for rows that were issued before a generation. Rows of a
// program's own model without that field count as issued before every generation.
func (t *Table) before(field string, generation int64) []clause.Expression {
	name, known := t.columns[field]
	if generation == 0 || !known {
		return nil
	}
	return []clause.Expression{clause.Or(eq(name, nil), clause.Lt{Column: column(name), Value: generation})}
}

const (
	// endedAtOnce is how many rows one step processes.
	endedAtOnce = 500
	// maxDescent is the maximum number of times that new tokens may appear by exchange while
	// their grant is being ended.
	maxDescent = 64
)

// errStillGrowing means that new tokens kept appearing in a grant.
var errStillGrowing = fmt.Errorf("gormstore: tokens of a grant were exchanged faster than the grant could be ended: %w", storage.ErrUnavailable)

// errNothingEnds means that rows were found but could not be changed.
var errNothingEnds = errors.New("gormstore: rows that have to change were found, but updating them changes nothing; check whether a trigger, a hook or a condition of the handle prevents it")

// end ends whole grants, including what other clients got in them, and returns how many
// rows ended.
//
// Single-use credentials come first: a concurrent redemption is waited for, and its token
// is then seen. The row with the refresh token comes next: a rotation changes the same
// row, so either it is seen here or it sees the revocation. The other rows are ended
// repeatedly until there are none: an exchange changes the row of the exchanged token, so
// the token of an exchange that was waited for is seen the next time.
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

// revoke revokes the tokens that match the conditions, including the refresh tokens in
// their rows, and returns how many rows there were. A row that would never have expired
// can be pruned afterwards.
func revoke(tx *tx, now time.Time, conditions ...clause.Expression) (revoked int64, err error) {
	t := tx.table
	expiresAt := column(t.column("ExpiresAt"))
	return tx.update(map[string]any{
		"RefreshTokenRevokedAt": now.Unix(),
		"ExpiresAt":             gorm.Expr("CASE WHEN ? = 0 THEN ? ELSE ? END", expiresAt, now.Unix(), expiresAt),
	}, append(conditions, t.isZero("RefreshTokenRevokedAt"))...)
}

// in returns the condition that a field of the model has one of the values.
func (t *Table) in(field string, values []string) clause.Expression {
	all := make([]any, len(values))
	for i, value := range values {
		all[i] = value
	}
	return clause.IN{Column: column(t.column(field)), Values: all}
}

// textIn returns the string in a field of a row; empty for NULL.
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

// locked makes a list wait for concurrent changes, and see what was committed since the
// transaction began, also on MySQL. SQLite ignores it, because it has only one writer.
var locked = clause.Locking{Strength: clause.LockingStrengthUpdate}

var ( // for tests; nothing else changes them
	// lookedUpAtOnce is how many rows of a table are read before they are ended page by page.
	lookedUpAtOnce = 25_000
	// looksByIndex is how often that is done before the table is walked through instead.
	looksByIndex = 2
	// windowRows is how many rows of a table are walked through at once.
	windowRows = 20_000
)

// ending ends all grants of a selection, in atomic steps of a bounded number of rows. If
// it is interrupted, calling it again continues it.
type ending struct {
	grants
	selection
	now    time.Time
	report func(ended int64) // called with the total so far
	ended  int64
	noted  bool            // whether the audit entry has been written
	walks  map[*Table]bool // tables that are walked through, rather than looked into by an index
}

// all marks a client or a user, ends everything of theirs, and then writes one audit entry
// and calls the hooks once.
func (e *ending) all(ctx context.Context, noted entry, reason string) error {
	m, err := e.tokens.raise(ctx, &e.selection)
	if err != nil {
		return fmt.Errorf("gormstore: raise the generation: %w", err)
	}
	if err := e.run(ctx); err != nil {
		return err
	}
	err = e.tokens.do(ctx, step{several: true}, func(tx *tx) error {
		if err := m.done(tx); err != nil || e.ended == 0 {
			return err
		}
		return tx.note(noted)
	})
	if err == nil && e.ended > 0 {
		e.tokens.tell(ctx, server.Revocation{ClientID: e.clientID, UserID: e.userID, Reason: reason}, e.now)
	}
	return err
}

// run ends what there is now, and then again what was issued by requests that were under
// way when it began.
func (e *ending) run(ctx context.Context) error {
	began := time.Now()
	e.walks = make(map[*Table]bool)
	if err := e.pass(ctx); err != nil || e.tokens.transaction(ctx) != nil { // do not wait inside the program's own transaction
		return err
	}
	if err := rest(ctx, time.Until(began.Add(budget.UnderWay(ctx)))); err != nil {
		return err
	}
	return e.pass(ctx)
}

// pass ends everything that matches the selection, until there is nothing left. Single-use
// credentials come first: what is made of them by then is a token.
func (e *ending) pass(ctx context.Context) error {
	for _, t := range e.inOrder() {
		conditions, err := e.selection.in(ctx, t, e.now)
		if err != nil {
			return err
		}
		if len(conditions) == 0 {
			continue
		}
		if err := e.passThrough(ctx, t, conditions); err != nil {
			return err
		}
	}
	return nil
}

// passThrough ends the rows of one table. It looks by the index of the client or the user. Each
// look steps over what has ended already, so a large selection, or one that ended before, is found
// by walking through the table instead.
func (e *ending) passThrough(ctx context.Context, t *Table, conditions []clause.Expression) error {
	for range looksByIndex {
		if e.walks[t] {
			break
		}
		rows, more, err := t.outline(ctx, conditions, lookedUpAtOnce)
		if errors.Is(err, storage.ErrUnavailable) && ctx.Err() == nil {
			break
		}
		if err != nil {
			return err
		}
		before := e.ended
		if err := e.endPages(ctx, t, rows); err != nil || !more {
			return err
		}
		if len(rows) > 0 && e.ended == before {
			return errNothingEnds
		}
	}
	e.walks[t] = true
	return e.walk(ctx, t, conditions)
}

// endPages ends rows that were found without locking them, in steps of a bounded number of rows: a
// grant ends as a whole even if its rows change in the meantime, and the last pass finds new rows.
func (e *ending) endPages(ctx context.Context, t *Table, rows []any) error {
	for page := range slices.Chunk(rows, endedAtOnce) {
		var n int64
		err := e.tokens.do(ctx, step{several: true}, func(tx *tx) error {
			ended, err := e.endRows(tx, e.selection, e.now, t, page)
			if n = max(ended, n); !tx.lost { // otherwise an attempt without an answer may have ended them
				n = ended
			}
			return err
		})
		if e.ended += n; err != nil {
			return err
		}
		if e.report != nil {
			e.report(e.ended)
		}
	}
	return nil
}

// walk ends everything in a table that matches the conditions, in windows of the whole table, in
// the order of its primary key: no statement takes longer the more has ended.
func (e *ending) walk(ctx context.Context, t *Table, conditions []clause.Expression) error {
	key := t.order()
	for after := any(nil); ; {
		end, err := t.windowEnd(ctx, key, after)
		if err != nil {
			return err
		}
		window := slices.Clone(conditions)
		if after != nil {
			window = append(window, clause.Gt{Column: column(key.DBName), Value: after})
		}
		if end != nil {
			window = append(window, clause.Lte{Column: column(key.DBName), Value: end})
		}
		rows, _, err := t.outline(ctx, window, 0)
		if err != nil {
			return err
		}
		if err := e.endPages(ctx, t, rows); err != nil || end == nil {
			return err
		}
		after = end
	}
}

// order returns the field in whose order a table is walked through: its primary key, or the
// digest that names a row where that has several columns.
func (t *Table) order() *schema.Field {
	if len(t.schema.PrimaryFields) == 1 {
		return t.schema.PrimaryFields[0]
	}
	return t.schema.LookUpField(t.column(t.about.Key))
}

// windowEnd returns the last key of the next window of a table, nil where that is the rest of it.
func (t *Table) windowEnd(ctx context.Context, key *schema.Field, after any) (end any, err error) {
	keys := reflect.New(reflect.SliceOf(key.IndirectFieldType))
	err = retry(ctx, func(ctx context.Context) error {
		db := t.bare(ctx).Model(t.newRow())
		if after != nil {
			db = db.Where(clause.Gt{Column: column(key.DBName), Value: after})
		}
		return db.Order(clause.OrderByColumn{Column: column(key.DBName)}).Offset(windowRows-1).Limit(1).Pluck(key.DBName, keys.Interface()).Error
	})
	if err != nil || keys.Elem().Len() == 0 {
		return nil, err
	}
	return keys.Elem().Index(0).Interface(), nil
}

// endWithin ends all grants of a selection in one step, and locks its rows.
func (g grants) endWithin(tx *tx, s selection, now time.Time) (ended int64, err error) {
	for _, t := range g.inOrder() {
		conditions, err := s.in(tx.db.Statement.Context, t, now)
		if err != nil {
			return ended, err
		}
		limit := endedAtOnce
		for more := len(conditions) > 0; more; {
			var rows []any
			if rows, more, err = t.outlineOnce(tx.on(t).db, conditions, limit, locked); err != nil {
				return ended, err
			}
			n, err := g.endRows(tx, s, now, t, rows)
			if ended += n; err != nil {
				return ended, err
			}
			switch {
			case !more:
			case len(rows) == 0: // all that was read are others'
				limit *= 2
			case n == 0:
				return ended, errNothingEnds
			}
		}
	}
	return ended, nil
}

// inOrder returns the tables in the order in which their rows end.
func (g grants) inOrder() []*Table { return append(slices.Clone(g.single), g.tokens) }

// outline reads rows that may have to end, up to a number of them; 0 reads all. It reads what tells
// what ends with a row, and the columns of the conditions: there may be many rows, and the other
// columns are long. more reports whether there may be more of them.
func (t *Table) outline(ctx context.Context, conditions []clause.Expression, limit int) (rows []any, more bool, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		rows, more, err = t.outlineOnce(t.primary(ctx), conditions, limit)
		return err
	})
	return rows, more, err
}

// outlineOnce is a single attempt of outline on a handle.
func (t *Table) outlineOnce(db *gorm.DB, conditions []clause.Expression, limit int, further ...clause.Expression) (rows []any, more bool, err error) {
	var selected clause.Select
	for _, field := range []string{t.about.Key, t.about.GrantID, "RefreshToken", "Origin"} {
		if name, has := t.columns[field]; has {
			selected.Columns = append(selected.Columns, column(name))
		}
	}
	for _, condition := range conditions {
		if equal, ok := condition.(clause.Eq); ok {
			selected.Columns = append(selected.Columns, equal.Column.(clause.Column))
		}
	}
	further = append(further, selected)
	if limit > 0 {
		further = append(further, clause.Limit{Limit: &limit})
	}
	// The program's hooks are for whole rows.
	rows, read, err := t.loadAll(db.Session(&gorm.Session{SkipHooks: true}), conditions, further...)
	return rows, limit > 0 && read == limit, err
}

// endRows ends rows of a table that were found for a selection.
//
// A client's own grants end as a whole. In the grants of other clients, only this client's
// rows end, with what descends from them. A user's grants contain only that user's rows.
func (g grants) endRows(tx *tx, s selection, now time.Time, t *Table, rows []any) (ended int64, err error) {
	if t == g.tokens {
		return g.endTokens(tx.on(t), s, now, rows)
	}
	var whole, alone []string
	for _, row := range rows {
		grantID := ""
		if t.about.GrantID != "" {
			grantID = t.textIn(row, t.about.GrantID)
		}
		if grantID != "" {
			whole = append(whole, grantID)
		} else {
			alone = append(alone, t.textIn(row, t.about.Key))
		}
	}
	if len(alone) > 0 {
		if ended, err = tx.on(t).void(now, t.in(t.about.Key, alone)); err != nil {
			return ended, err
		}
	}
	n, err := grants{tokens: g.tokens, single: []*Table{t}}.end(tx, now, unique(whole)...)
	return ended + n, err
}

// endTokens is endRows for tokens. Credentials that could still become tokens of their grants have
// ended before.
func (g grants) endTokens(tokens *tx, s selection, now time.Time, rows []any) (ended int64, err error) {
	parted, err := g.part(tokens, s, rows)
	if err != nil {
		return ended, err
	}
	if ended, err = (grants{tokens: g.tokens}).end(tokens, now, unique(parted.whole)...); err != nil {
		return ended, err
	}
	if len(parted.alone) > 0 {
		n, err := revoke(tokens, now, g.tokens.in("AccessToken", parted.alone))
		if ended += n; err != nil {
			return ended, err
		}
	}
	for _, grantID := range parted.others {
		n, err := g.endBranch(tokens, now, grantID, parted.branches[grantID])
		if ended += n; err != nil {
			return ended, err
		}
	}
	return ended, nil
}

func unique(texts []string) []string {
	slices.Sort(texts)
	return slices.Compact(texts)
}

// parted says how the tokens of a selection end.
type parted struct {
	whole    []string            // grants that end as a whole
	alone    []string            // tokens without a grant
	others   []string            // grants of others
	branches map[string][]string // tokens in the grants of others, which end with what descends from them
}

// part determines what ends with each token.
func (g grants) part(tx *tx, s selection, rows []any) (parted, error) {
	p := parted{branches: make(map[string][]string)}
	unknown := make(map[string][]string) // rows of an older release, which do not say what they were created by
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

// partOlder decides for rows of an older release whether a client got them in its own
// grant or in another client's: in the latter, the refresh token belongs to the other
// client.
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

// endBranch revokes tokens of a grant and everything that descends from them, until
// nothing is left.
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

// descendants returns the unrevoked tokens of a grant that are in accessTokens or descend
// from one of them, even if that one was already revoked.
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

// RevokeGrant revokes every token of a grant, and everything that could become one; it is
// a [storage.RevokeGrantFunc].
func (t *Tokens) RevokeGrant(ctx context.Context, grantID string, now time.Time) error {
	if grantID == "" {
		return errors.New("gormstore: RevokeGrant needs the id of the grant")
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

// RevokeOptions say what [Tokens.Revoke] ends.
type RevokeOptions struct {
	// ClientID or UserID says whose grants end. Set exactly one of them.
	ClientID, UserID string
	// Time is the current time; the zero value means time.Now().
	Time time.Time
	// More are stores of single-use credentials that become tokens: codes, device
	// authorizations, and the program's own. Stores made of the same database with the same
	// conditions are found without it; set it if there are several tables of tokens, or if
	// the handle has scopes.
	More []Erasable
	// Report is called after each step with the number of rows that have ended so far.
	Report func(ended int64)
}

// RevokeClient ends all grants of a client, for example because it is deleted or its
// secret has leaked; see [Tokens.Revoke]. It is not an error if the client has no grants.
func (t *Tokens) RevokeClient(ctx context.Context, clientID string, now time.Time, more ...Erasable) error {
	if clientID == "" {
		return errors.New("gormstore: RevokeClient needs the id of the client")
	}
	return t.Revoke(ctx, RevokeOptions{ClientID: clientID, Time: now, More: more})
}

// RevokeUser ends all grants of a user, for example because the user is disabled or signs
// out everywhere; see [Tokens.Revoke]. To also delete the user's rows, use [Erase].
func (t *Tokens) RevokeUser(ctx context.Context, userID string, now time.Time, more ...Erasable) error {
	if userID == "" {
		return errors.New("gormstore: RevokeUser needs the id of the user")
	}
	return t.Revoke(ctx, RevokeOptions{UserID: userID, Time: now, More: more})
}

// Revoke ends all grants of a client or of a user: tokens, unredeemed codes and device
// authorizations (those that expired more than an hour ago are useless already). Tokens that
// other clients got in a client's grants by exchange (RFC 8693) end, too. In the grants of other
// clients, only the client's own tokens end, with everything that descends from them.
//
// It first raises the generation in the row of the client or the user (models.ClientMixin,
// models.UserMixin). From then on the server refuses anything that was issued under an
// earlier generation wherever it reads that row: for a code, a refresh token, an exchange,
// introspection and UserInfo. A bearer token that an API looks up itself stays valid until
// its own row is revoked. The rows are revoked in steps of 500. What is issued in the
// meantime, under the new generation, stays valid.
//
// It returns when everything has ended, including what was issued by requests that were
// under way when it began: it waits a few seconds, as long as such requests can take
// ([budget.UnderWay]), and looks again. If it was interrupted, call it again; the doctor
// reports clients for which that is necessary. In a handler, pass it a context of
// context.WithoutCancel, because the browser may disconnect first.
//
// If there is no row to mark, because no store of this connection pool has the client or the
// user, or the user model has no UserMixin, it only ends what it finds at that time. On a handle
// with conditions, clients are marked only in a store with the same conditions, and users are not
// marked. In a transaction of the program's own ([WithTransaction]) it does not wait: call it
// again afterwards.
//
// [budget.UnderWay]: https://pkg.go.dev/github.com/gormoauth/gormoauth/server#UnderWay
func (t *Tokens) Revoke(ctx context.Context, options RevokeOptions) error {
	ctx, reason := eachStep(ctx), server.RevokedByClient
	switch {
	case (options.ClientID == "") == (options.UserID == ""):
		return errors.New("gormstore: RevokeOptions must have either a ClientID or a UserID")
	case options.UserID != "":
		reason = server.RevokedByUser
	}
	if options.Time.IsZero() {
		options.Time = time.Now()
	}
	e := &ending{grants: t.grants(tablesOf(options.More)...), selection: selection{clientID: options.ClientID, userID: options.UserID}, now: options.Time, report: options.Report}
	noted := clientEntry(models.AuditAllRevoked, e.clientID, e.now)
	noted.userID = e.userID
	return e.all(ctx, noted, reason)
}

// TellRevocationsTo reports what RevokeClient, RevokeUser and [Erase] end to the server's
// hooks. [gormoauth.New] calls it for its parts.
//
// [gormoauth.New]: https://pkg.go.dev/github.com/gormoauth/gormoauth#New
func (t *Tokens) TellRevocationsTo(s *server.Server) { t.table.TellRevocationsTo(s) }
