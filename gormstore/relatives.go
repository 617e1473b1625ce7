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

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// relatives are the tables of one connection pool whose rows end with a grant, a client
// or a user. Each new store adds its table. So ending something also finds rows in tables
// that it was not given, such as device authorizations when a consent is revoked.
//
// Tables of handles with the same conditions belong together, because the rows of one tenant are not another's. Tables
// of handles with scopes are not included. If there are two tables of tokens, it cannot be known which of the other
// tables belong to which: then a store ends only rows in the tables that it was given.
type relatives struct {
	mu       sync.Mutex
	families map[string]*family // by the conditions of their handles
	servers  []weak.Pointer[server.Server]
	// clients and users are the tables of clients and of users, by name, regardless of the
	// conditions of their handles.
	clients, users map[string]*Table
	keeps          weak.Pointer[prepared]
}

// family holds the tables with the same conditions, by name.
type family struct{ tokens, single, consents, clients map[string]*Table }

// pools holds the relatives of each pool. They do not refer to the pool, so that a pool
// that is no longer used can be freed.
var pools sync.Map // of weak.Pointer[sql.DB] to *relatives

// relatives returns the relatives of the table's pool; nil if its handle is a
// transaction.
func (t *Table) relatives() *relatives {
	pool, err := t.db.DB()
	if err != nil {
		return nil
	}
	return relativesOf(pool)
}

func relativesOf(pool *sql.DB) *relatives {
	key := weak.Make(pool)
	known, loaded := pools.LoadOrStore(key, &relatives{families: make(map[string]*family), clients: make(map[string]*Table), users: make(map[string]*Table)})
	if !loaded {
		runtime.AddCleanup(pool, func(key weak.Pointer[sql.DB]) { pools.Delete(key) }, key)
	}
	return known.(*relatives)
}

// conditions returns the conditions of the program's handle as SQL. ok is false if there are
// scopes, because it is unknown what they will add.
func (t *Table) conditions() (text string, ok bool) {
	if reflect.ValueOf(t.db.Statement).Elem().FieldByName("scopes").Len() > 0 {
		return "", false
	}
	where, has := t.db.Statement.Clauses["WHERE"]
	if !has {
		return "", true
	}
	stmt := &gorm.Statement{DB: t.db, Clauses: map[string]clause.Clause{"WHERE": where}}
	stmt.Build("WHERE")
	return t.db.Dialector.Explain(stmt.SQL.String(), stmt.Vars...), true
}

// family calls f with the family of the table, under a lock.
func (t *Table) family(f func(*family)) {
	conditions, ok := t.conditions()
	if !ok {
		return
	}
	r := t.relatives()
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.families[conditions]
	if of == nil {
		of = &family{make(map[string]*Table), make(map[string]*Table), make(map[string]*Table), make(map[string]*Table)}
		r.families[conditions] = of
	}
	f(of)
}

// unbound returns the table without its handle, for the registry.
func (t *Table) unbound() *Table {
	return &Table{schema: t.schema, name: t.name, about: t.about, columns: t.columns, userID: t.userID}
}

// bind returns a table of the registry with the handle of this table.
func (t *Table) bind(known *Table) *Table {
	table := known.with(t.db)
	table.pool, table.turn, table.trail = t.pool, t.turn, t.trail
	return table
}

// only returns the only table of clients or of users of the pool, on a handle without
// conditions; nil if there are several or none.
func (t *Table) only(choose func(*relatives) map[string]*Table) *Table {
	r := t.relatives()
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	all := choose(r)
	if len(all) != 1 {
		return nil
	}
	for _, known := range all {
		return t.bind(known).withoutConditions()
	}
	return nil
}

// relate adds the table to its family.
func (t *Table) relate() {
	if t.mixin() == reflect.TypeFor[models.ClientMixin]() {
		t.register(func(r *relatives) map[string]*Table { return r.clients })
		t.family(func(f *family) { f.clients[t.schema.Table] = t.unbound() })
		return
	}
	t.family(func(f *family) {
		among := f.single
		switch t.mixin() {
		case reflect.TypeFor[models.TokenMixin]():
			among = f.tokens
		case reflect.TypeFor[models.ConsentMixin]():
			among = f.consents
		default:
			if t.about.SpentAt == "" || t.about.GrantID == "" && !t.about.OfUser {
				return
			}
		}
		among[t.schema.Table] = t.unbound()
	})
}

// register adds a table of clients or of users.
func (t *Table) register(choose func(*relatives) map[string]*Table) {
	r := t.relatives()
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	choose(r)[t.schema.Table] = t.unbound()
}

// ofKin returns the chosen tables of the family with the handle of this table; none if
// there are several tables of tokens.
func (t *Table) ofKin(choose func(*family) map[string]*Table) (tables []*Table) {
	t.family(func(f *family) {
		if len(f.tokens) > 1 {
			return
		}
		all := choose(f)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			tables = append(tables, t.bind(all[name]))
		}
	})
	return tables
}

// TellRevocationsTo reports what the stores of this connection pool revoke on their own to
// the server's hooks. A table is a [server.RevocationSource], and so is a store that revokes.
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

// tell calls the hooks after a revocation was stored: those of the server whose request
// is in the context, otherwise those of every server that was passed to
// TellRevocationsTo.
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
