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
	"github.com/gormoauth/gormoauth/server/cache"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Options limit the cache. The zero value is useful.
type Options struct {
	// Size is the maximum number of cached clients; 0 means 1000.
	Size int
	// TTL is how long a client is cached after it was read; 0 means five seconds.
	TTL time.Duration
	// Clock returns the current time; nil means time.Now.
	Clock func() time.Time
}

const (
	defaultSize = 1000
	defaultTTL  = 5 * time.Second
)

// New returns a function that finds clients in the model M, as [gormstore.Clients] does, and
// caches the clients that it finds. Clients that do not exist are not cached, so that nobody
// can fill the cache with them, and a new client is found at once. Nothing is cached within
// [gormstore.WithTransaction]. Requests that check a client's credential or change its
// registration bypass the cache ([cache.Bypass]): a secret that was rotated on
// another instance is void at once.
//
// Each call gets its own copy of the row. Slices and maps in it are shared and must not
// be changed.
//
// Cached clients are returned to every request: the handle may have conditions, but none
// that differ between requests, such as a tenant that a plugin takes from the context.
//
// Call New when the program starts. It registers callbacks on the handle, which GORM
// allows only while no statement runs. It returns an error if the options are negative,
// or the model is not suitable.
func New[M any, P gormstore.ClientModel[M]](db *gorm.DB, options Options) (storage.QueryClientFunc, error) {
	if options.Size < 0 || options.TTL < 0 {
		return nil, errors.New("clientcache: Options.Size and Options.TTL must not be negative; to turn the cache off, do not use it")
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
	c := &cached[M, P]{options: options, query: clients.Query}
	c.forget()
	if err := c.forgetOnWrite(db); err != nil {
		return nil, err
	}
	return c.Query, nil
}

// cached holds rows by client id. A write replaces all entries, so that a read in progress
// stores its row in entries that are no longer used.
type cached[M any, P gormstore.ClientModel[M]] struct {
	options Options
	query   storage.QueryClientFunc
	entries atomic.Pointer[entries[M]]
	// idleUntil is the time until which nothing is cached, in Unix nanoseconds.
	idleUntil atomic.Int64
}

type entries[M any] = otter.Cache[string, entry[M]]

type entry[M any] struct {
	row    *M
	readAt time.Time
}

// Query is a [storage.QueryClientFunc].
func (c *cached[M, P]) Query(ctx context.Context, clientID string) (storage.Client, error) {
	// In this order: a call that gets the entries made after a write also sees the write's
	// idleUntil.
	all, now := c.entries.Load(), c.options.Clock()
	if cache.IsBypassed(ctx) || gormstore.InTransaction(ctx) || now.UnixNano() < c.idleUntil.Load() {
		return c.query(ctx, clientID)
	}
	found, _ := all.GetIfPresent(clientID)
	if c.ended(found, now) {
		return c.read(ctx, all, clientID, now)
	}
	cache.Hit(ctx, now.Sub(found.readAt))
	return c.copyOf(found), nil
}

// ended reports whether an entry was read too long ago. One that is not there was never read.
func (c *cached[M, P]) ended(e entry[M], now time.Time) bool {
	return now.Sub(e.readAt) >= c.options.TTL
}

func (*cached[M, P]) copyOf(e entry[M]) storage.Client {
	row := *e.row
	return P(&row)
}

// read reads a client, once for all concurrent calls. If the request that reads for the
// others is canceled, one of them takes over.
func (c *cached[M, P]) read(ctx context.Context, all *entries[M], clientID string, now time.Time) (storage.Client, error) {
	all.ComputeIfPresent(clientID, func(e entry[M]) (entry[M], otter.ComputeOp) {
		if c.ended(e, now) {
			return e, otter.InvalidateOp
		}
		return e, otter.CancelOp // another call was faster
	})
	asked := false
	found, err := all.Get(ctx, clientID, otter.LoaderFunc[string, entry[M]](func(ctx context.Context, clientID string) (entry[M], error) {
		asked = true
		return c.load(ctx, clientID)
	}))
	switch {
	case err == nil:
		cache.Hit(ctx, max(0, now.Sub(found.readAt)))
		return c.copyOf(found), nil
	case !errors.Is(err, otter.ErrNotFound):
		return nil, err
	case !asked:
		// Another call read this, possibly before the client was created.
		return c.query(ctx, clientID)
	}
	return nil, nil
}

func (c *cached[M, P]) load(ctx context.Context, clientID string) (entry[M], error) {
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

// forget replaces all entries. Expiry is not left to otter, and its maintenance runs in
// the calling goroutine, because otherwise either would start goroutines.
func (c *cached[M, P]) forget() {
	c.entries.Store(otter.Must(&otter.Options[string, entry[M]]{
		MaximumSize: c.options.Size,
		Executor:    func(task func()) { task() },
	}))
}

// idle empties the cache and turns it off for Options.TTL. It is called after a statement
// that takes effect only later, with a COMMIT that GORM does not report: nothing that was
// read before the COMMIT is cached, unless the COMMIT comes even later.
func (c *cached[M, P]) idle() {
	c.idleUntil.Store(c.options.Clock().Add(c.options.TTL).UnixNano())
	c.forget()
}

// forgetOnWrite empties the cache whenever a statement has changed the table of clients,
// after its COMMIT. Inserting a new client does not affect the cache.
func (c *cached[M, P]) forgetOnWrite(db *gorm.DB) error {
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(new(M)); err != nil {
		return err
	}
	table := stmt.Table // without the database schema
	is := mentions(table)
	forget := func(tx *gorm.DB) {
		if _, open := tx.Statement.ConnPool.(gorm.TxCommitter); open {
			c.idle()
		} else {
			c.forget()
		}
	}
	written := func(tx *gorm.DB) {
		// With an alias, the statement has the alias in place of the table.
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
			c.idle() // it takes effect only while its rows are read
		}
	}
	// Several caches may use one db, so each has its own name.
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

// mentions returns a function that reports whether SQL contains the name of a table as a
// whole word, in any case: "client_id" does not contain the word "client".
func mentions(table string) func(sql string) bool {
	lower := strings.ToLower(table)
	word := regexp.MustCompile(`(?i)(^|\W)` + regexp.QuoteMeta(table) + `(\W|$)`)
	return func(sql string) bool {
		return strings.Contains(strings.ToLower(sql), lower) && word.MatchString(sql)
	}
}

// mayWrite reports whether a statement that returns rows may also write: UPDATE …
// RETURNING, or WITH … AS (DELETE …). A comment may precede it.
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
