package engines

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/canonical/go-dqlite/client"
	dqlite "github.com/canonical/go-dqlite/driver"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
)

func init() { sql.Register("dqlite", cluster{}) }

// cluster is a driver whose connection strings name the nodes of a cluster, and one of its
// databases: 127.0.0.1:9001,127.0.0.1:9002/accounts.
type cluster struct{}

// Open connects to the leader.
func (c cluster) Open(dsn string) (driver.Conn, error) {
	connector, err := c.OpenConnector(dsn)
	if err != nil {
		return nil, err
	}
	return connector.Connect(context.Background())
}

// OpenConnector returns what connects to the leader, whichever node that is.
func (cluster) OpenConnector(dsn string) (driver.Connector, error) {
	addresses, database, _ := strings.Cut(dsn, "/")
	var nodes []client.NodeInfo
	for address := range strings.SplitSeq(addresses, ",") {
		nodes = append(nodes, client.NodeInfo{Address: address})
	}
	store := client.NewInmemNodeStore()
	if err := store.Set(context.Background(), nodes); err != nil {
		return nil, err
	}
	silent := func(client.LogLevel, string, ...any) {}
	d, err := dqlite.New(store, dqlite.WithLogFunc(silent))
	if err != nil {
		return nil, err
	}
	return d.OpenConnector(database)
}

// dqliteDialector is GORM's of SQLite, without RETURNING: a statement that answers with rows
// is one that reads, to dqlite.
type dqliteDialector struct{ sqlite.Dialector }

// OpenDqlite opens a database of a cluster, such as 127.0.0.1:9001,127.0.0.1:9002/accounts.
func OpenDqlite(dsn string) gorm.Dialector {
	return dqliteDialector{sqlite.Dialector{DriverName: "dqlite", DSN: dsn}}
}

// Initialize has GORM build its statements.
func (d dqliteDialector) Initialize(db *gorm.DB) error {
	if err := d.Dialector.Initialize(db); err != nil {
		return err
	}
	config := &callbacks.Config{
		CreateClauses: []string{"INSERT", "VALUES", "ON CONFLICT"}, LastInsertIDReversed: true,
		UpdateClauses: []string{"UPDATE", "SET", "FROM", "WHERE"}, DeleteClauses: []string{"DELETE", "FROM", "WHERE"},
	}
	create, update, remove := db.Callback().Create(), db.Callback().Update(), db.Callback().Delete()
	create.Clauses, update.Clauses, remove.Clauses = config.CreateClauses, config.UpdateClauses, config.DeleteClauses
	if err := create.Replace("gorm:create", callbacks.Create(config)); err != nil {
		return err
	}
	if err := update.Replace("gorm:update", callbacks.Update(config)); err != nil {
		return err
	}
	return remove.Replace("gorm:delete", callbacks.Delete(config))
}

// buildDqliteNode builds the program of one node, which links libdqlite.
func buildDqliteNode(ctx context.Context, target string) error {
	build := exec.CommandContext(ctx, "go", "build", "-tags", "dqlite,nosqlite3", "-o", target, "github.com/gormoauth/gormoauth/internal/engines/dqlite") //nolint:gosec // the target is a test's
	build.Env = append(os.Environ(), "CGO_ENABLED=1", "CGO_LDFLAGS_ALLOW=-Wl,-z,now", "GOFLAGS=-buildvcs=false")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build a node of dqlite: %w\n%s", err, output)
	}
	return nil
}
