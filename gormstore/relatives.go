package gormstore

import (
	"context"
	"database/sql"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"time"
	"weak"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// relatives are the tables of one pool of connections of which rows end with a grant, a
// client or a user. Each store that is made adds its table. So whatever ends something
// finds what came of it also in tables that nobody has named to it, such as those of
// device authorizations where a consent is revoked.
//
// Tables of handles with a condition are left out, as the rows of one tenant are not
// another's. Where a pool has two tables of tokens, it cannot be known what belongs to
// which: then a store ends what is in the tables that it was given, and no more.
type relatives struct {
	mu       sync.Mutex
	tokens   map[string]*Table
	single   map[string]*Table
	consents map[string]*Table
	servers  []weak.Pointer[server.Server]
}

// pools holds the relatives of each pool. They refer to no connection, so that a pool that
// is no longer used is forgotten.
var pools sync.Map // of weak.Pointer[sql.DB] to *relatives

// relatives returns those of the table's pool, nil where its handle is a transaction.
func (t *Table) relatives() *relatives {
	pool, err := t.db.DB()
	if err != nil {
		return nil
	}
	key := weak.Make(pool)
	known, loaded := pools.LoadOrStore(key, &relatives{
		tokens: make(map[string]*Table), single: make(map[string]*Table), consents: make(map[string]*Table),
	})
	if !loaded {
		runtime.AddCleanup(pool, func(key weak.Pointer[sql.DB]) { pools.Delete(key) }, key)
	}
	return known.(*relatives)
}

// isConditional reports whether the program's handle is about some rows alone.
func (t *Table) isConditional() bool {
	scopes := reflect.ValueOf(t.db.Statement).Elem().FieldByName("scopes") // which add conditions when a statement is built
	return expressions(t.db) > 0 || scopes.Len() > 0
}

// relate adds the table to the relatives of its pool.
func (t *Table) relate() {
	if t.isConditional() {
		return
	}
	r := t.relatives()
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	among := r.single
	switch t.mixin() {
	case reflect.TypeFor[models.TokenMixin]():
		among = r.tokens
	case reflect.TypeFor[models.ConsentMixin]():
		among = r.consents
	default:
		if t.about.SpentAt == "" || t.about.GrantID == "" && !t.about.OfUser {
			return
		}
	}
	among[t.schema.Table] = &Table{schema: t.schema, name: t.name, about: t.about, columns: t.columns, userID: t.userID}
}

// ofKin returns those of some relatives as tables of this one's handle, unless the pool has
// several tables of tokens.
func (t *Table) ofKin(choose func(*relatives) map[string]*Table) (tables []*Table) {
	if t.isConditional() {
		return nil
	}
	r := t.relatives()
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.tokens) > 1 {
		return nil
	}
	all := choose(r)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		table := *all[name]
		table.db, table.turn, table.trail = t.db, t.turn, t.trail
		tables = append(tables, &table)
	}
	return tables
}

// TellRevocationsTo has the server's hooks be told of what the stores of this pool of
// connections revoke by themselves; a table is a [server.RevocationSource], and so is a store
// that revokes.
func (t *Table) TellRevocationsTo(s *server.Server) {
	r := t.relatives()
	if r == nil || s == nil {
		return
	}
	key := weak.Make(s)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.servers = slices.DeleteFunc(r.servers, func(known weak.Pointer[server.Server]) bool { return known.Value() == nil || known == key })
	r.servers = append(r.servers, key)
}

// tell tells the hooks of a revocation after it was stored: those of the server whose
// request is in the context, otherwise of every server that was named.
func (t *Table) tell(ctx context.Context, revocation server.Revocation, now time.Time) {
	if req := server.RequestFromContext(ctx); req != nil && req.Server != nil {
		req.TokenRevoked(ctx, revocation)
		return
	}
	r := t.relatives()
	if r == nil {
		return
	}
	r.mu.Lock()
	servers := slices.Clone(r.servers)
	r.mu.Unlock()
	for _, known := range servers {
		if s := known.Value(); s != nil {
			(&server.Request{Server: s, Time: now}).TokenRevoked(ctx, revocation)
		}
	}
}
