package clientcache

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/server"
)

// Options bound the cache. The zero value is useful.
type Options struct {
	// Size is how many clients are remembered at most; 0 is 1000.
	Size int
	// TTL is for how long a client is remembered after it was read; 0 is five
	// seconds.
	TTL time.Duration
	// Clock tells the time; nil is time.Now.
	Clock func() time.Time
}

const (
	defaultSize = 1000
	defaultTTL  = 5 * time.Second
)

// New returns a function that finds clients in the model M, as that of
// [gormstore.Clients] does, and remembers those that it found. Clients that do
// not exist are not remembered, so that nobody can fill the cache with them and
// a new client is found at once. Within [gormstore.WithTransaction] nothing is
// remembered. What checks a credential of a client's, or changes its registration, reads the
// database ([server.FreshClients]): a secret that was rotated on another instance is void at
// once.
//
// Each call gets a copy of the row of its own. Slices and maps in it are shared
// and not to be changed.
//
// What is remembered is told to all: the handle may have conditions, but none
// that differ by request, such as a tenant that a plugin takes from the context.
//
// Call it when the program starts. It registers callbacks on the handle, which
// GORM allows only while no statement runs.
func New[M any, P gormstore.ClientModel[M]](db *gorm.DB, options Options) (server.QueryClientFunc, error) {
	if options.Size < 0 || options.TTL < 0 {
		return nil, errors.New("clientcache: Options.Size and Options.TTL cannot be negative; leave the cache out instead")
	}
	if options.Size == 0 {
		options.Size = defaultSize
	}
	if options.TTL == 0 {
		options.TTL = defaultTTL
	}
	if options.Clock == nil {
		options.Clock = time.Now
	}
	clients, err := gormstore.NewClients[M, P](db)
	if err != nil {
		return nil, err
	}
	c := &cache[M, P]{options: options, query: clients.Query}
	c.forget()
	if err := c.forgetOnWrite(db); err != nil {
		return nil, err
	}
	return c.Query, nil
}

// cache keeps rows by their client's id. A write replaces the whole of it: what
// is being read meanwhile is then kept where nobody looks any more.
type cache[M any, P gormstore.ClientModel[M]] struct {
	options Options
	query   server.QueryClientFunc
	entries atomic.Pointer[entries[M]]
	// idleUntil is until when nothing is remembered, in Unix nanoseconds.
	idleUntil atomic.Int64
}

type entries[M any] = otter.Cache[string, entry[M]]

type entry[M any] struct {
	row    *M
	readAt time.Time
}

// Query is a [server.QueryClientFunc].
func (c *cache[M, P]) Query(ctx context.Context, clientID string) (server.Client, error) {
	// In this order: whoever gets the entries that follow a write sees its idleUntil.
	all, now := c.entries.Load(), c.options.Clock()
	if server.WantsFreshClients(ctx) || gormstore.InTransaction(ctx) || now.UnixNano() < c.idleUntil.Load() {
		return c.query(ctx, clientID)
	}
	found, ok := all.GetIfPresent(clientID)
	if !ok || c.ended(found, now) {
		return c.read(ctx, all, clientID, now)
	}
	server.ClientAge(ctx, now.Sub(found.readAt))
	return c.copyOf(found), nil
}

// ended reports whether an entry was read too long ago.
func (c *cache[M, P]) ended(e entry[M], now time.Time) bool {
	return now.Sub(e.readAt) >= c.options.TTL
}

func (*cache[M, P]) copyOf(e entry[M]) server.Client {
	row := *e.row
	return P(&row)
}

// read reads a client, once for all that ask for it at the same time. When the
// request that reads for the others is cancelled, one of them takes its place.
func (c *cache[M, P]) read(ctx context.Context, all *entries[M], clientID string, now time.Time) (server.Client, error) {
	all.ComputeIfPresent(clientID, func(e entry[M]) (entry[M], otter.ComputeOp) {
		if c.ended(e, now) {
			return e, otter.InvalidateOp
		}
		return e, otter.CancelOp // somebody was faster
	})
	asked := false
	found, err := all.Get(ctx, clientID, otter.LoaderFunc[string, entry[M]](func(ctx context.Context, clientID string) (entry[M], error) {
		asked = true
		return c.load(ctx, clientID)
	}))
	switch {
	case err == nil:
		server.ClientAge(ctx, max(0, now.Sub(found.readAt)))
		return c.copyOf(found), nil
	case !errors.Is(err, otter.ErrNotFound):
		return nil, err
	case !asked:
		// The answer is another's, who may have asked before the client was made.
		return c.query(ctx, clientID)
	}
	return nil, nil
}

func (c *cache[M, P]) load(ctx context.Context, clientID string) (entry[M], error) {
	readAt := c.options.Clock()
	found, err := c.query(ctx, clientID)
	if err != nil {
		return entry[M]{}, err
	}
	row, ok := found.(P)
	if !ok {
		return entry[M]{}, otter.ErrNotFound
	}
	return entry[M]{(*M)(row), readAt}, nil
}

// forget begins anew. The entries have no expiry of otter's own, and are kept
// in order by whoever calls: either would otherwise start goroutines.
func (c *cache[M, P]) forget() {
	c.entries.Store(otter.Must(&otter.Options[string, entry[M]]{
		MaximumSize: c.options.Size,
		Executor:    func(task func()) { task() },
	}))
}

// idle forgets for as long as entries live. It follows a statement that takes
// effect only later, by a COMMIT that GORM tells nobody of: by then, what was
// read before it is not remembered, unless the COMMIT takes even longer.
func (c *cache[M, P]) idle() {
	c.idleUntil.Store(c.options.Clock().Add(c.options.TTL).UnixNano())
	c.forget()
}

// forgetOnWrite forgets whenever a statement has changed the clients' table,
// after its COMMIT. A new client changes nothing that is remembered.
func (c *cache[M, P]) forgetOnWrite(db *gorm.DB) error {
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(new(M)); err != nil {
		return err
	}
	table := stmt.Table // without the name of the table's database schema
	is := mentions(table)
	forget := func(tx *gorm.DB) {
		if _, open := tx.Statement.ConnPool.(gorm.TxCommitter); open {
			c.idle()
		} else {
			c.forget()
		}
	}
	written := func(tx *gorm.DB) {
		// An alias takes the table's place in the statement.
		if tx.Statement.Table == table || tx.Statement.TableExpr != nil && is(tx.Statement.SQL.String()) {
			forget(tx)
		}
	}
	created := func(tx *gorm.DB) {
		if _, upsert := tx.Statement.Clauses["ON CONFLICT"]; upsert || !strings.HasPrefix(tx.Statement.SQL.String(), "INSERT INTO ") {
			written(tx)
		}
	}
	executed := func(tx *gorm.DB) {
		if is(tx.Statement.SQL.String()) {
			forget(tx)
		}
	}
	returned := func(tx *gorm.DB) {
		if sql := tx.Statement.SQL.String(); mayWrite(sql) && is(sql) {
			c.idle() // it takes effect while its rows are read
		}
	}
	// Several caches may be on one db: the name of each is its own.
	name := fmt.Sprintf("gormoauth:client_cache:%p", c)
	const committed = "gorm:commit_or_rollback_transaction"
	callback := db.Callback()
	return errors.Join(
		callback.Create().After(committed).Register(name, created),
		callback.Update().After(committed).Register(name, written),
		callback.Delete().After(committed).Register(name, written),
		callback.Raw().After("gorm:raw").Register(name, executed),
		callback.Row().After("gorm:row").Register(name, returned),
		callback.Query().After("gorm:query").Register(name, returned),
	)
}

// mentions returns whether SQL has the name of a table, as a word and in
// whatever letters: "client" is none of the words of "client_id".
func mentions(table string) func(sql string) bool {
	lower := strings.ToLower(table)
	word := regexp.MustCompile(`(?i)(^|\W)` + regexp.QuoteMeta(table) + `(\W|$)`)
	return func(sql string) bool {
		return strings.Contains(strings.ToLower(sql), lower) && word.MatchString(sql)
	}
}

// mayWrite reports whether a statement that answers with rows is other than a
// SELECT: UPDATE … RETURNING, or WITH … AS (DELETE …). A comment may precede.
func mayWrite(sql string) bool {
	const read = "SELECT"
	if len(sql) >= len(read) && strings.EqualFold(sql[:len(read)], read) {
		return false
	}
	words := strings.FieldsFunc(strings.ToUpper(sql), func(r rune) bool { return r < 'A' || r > 'Z' && r != '_' })
	return slices.ContainsFunc(words, func(word string) bool {
		return slices.Contains([]string{"INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"}, word)
	})
}
