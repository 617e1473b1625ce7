package clientcache

import (
	"context"
	"errors"
	"fmt"
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
// remembered.
//
// Each call gets a copy of the row of its own. Slices and maps in it are shared
// and not to be changed.
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
	entries, err := otter.New(&otter.Options[key, entry[M]]{MaximumSize: options.Size})
	if err != nil {
		return nil, fmt.Errorf("clientcache: %w", err)
	}
	c := &cache[M, P]{options: options, query: clients.Query, entries: entries}
	if err := c.dropOnWrite(db); err != nil {
		return nil, err
	}
	return c.Query, nil
}

// cache keeps rows by their client's id and a generation. A write begins a new
// generation: what was read before it, or is being read while it happens, is
// kept where nobody looks any more.
type cache[M any, P gormstore.ClientModel[M]] struct {
	options    Options
	query      server.QueryClientFunc
	entries    *otter.Cache[key, entry[M]]
	generation atomic.Uint64
}

type key struct {
	generation uint64
	clientID   string
}

type entry[M any] struct {
	row    *M
	readAt time.Time
}

// Query is a [server.QueryClientFunc].
func (c *cache[M, P]) Query(ctx context.Context, clientID string) (server.Client, error) {
	if gormstore.InTransaction(ctx) {
		return c.query(ctx, clientID)
	}
	k := key{c.generation.Load(), clientID}
	if found, ok := c.entries.GetIfPresent(k); ok && c.options.Clock().Sub(found.readAt) >= c.options.TTL {
		c.entries.Invalidate(k)
	}
	found, err := c.entries.Get(ctx, k, otter.LoaderFunc[key, entry[M]](c.load))
	if errors.Is(err, otter.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	row := *found.row
	return P(&row), nil
}

// load reads a client, for all that wait for it: that the first of them has
// gone away is not the others' affair.
func (c *cache[M, P]) load(ctx context.Context, k key) (entry[M], error) {
	readAt := c.options.Clock()
	found, err := c.query(context.WithoutCancel(ctx), k.clientID)
	if err != nil {
		return entry[M]{}, err
	}
	row, ok := found.(P)
	if !ok {
		return entry[M]{}, otter.ErrNotFound
	}
	return entry[M]{(*M)(row), readAt}, nil
}

// dropOnWrite begins a new generation whenever a statement has changed the
// clients' table, after its COMMIT. A new client changes nothing that is
// remembered.
func (c *cache[M, P]) dropOnWrite(db *gorm.DB) error {
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(new(M)); err != nil {
		return err
	}
	table := stmt.Schema.Table
	written := func(tx *gorm.DB) {
		if tx.Statement.Table == table {
			c.generation.Add(1)
		}
	}
	upserted := func(tx *gorm.DB) {
		if _, found := tx.Statement.Clauses["ON CONFLICT"]; found {
			written(tx)
		}
	}
	executed := func(tx *gorm.DB) {
		if strings.Contains(tx.Statement.SQL.String(), table) {
			c.generation.Add(1)
		}
	}
	// Several caches may be on one db: the name of each is its own.
	name := fmt.Sprintf("gormoauth:client_cache:%p", c)
	const committed = "gorm:commit_or_rollback_transaction"
	callback := db.Callback()
	return errors.Join(
		callback.Create().After(committed).Register(name, upserted),
		callback.Update().After(committed).Register(name, written),
		callback.Delete().After(committed).Register(name, written),
		callback.Raw().After("gorm:raw").Register(name, executed),
	)
}
