package gormstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth/server"
)

const (
	// spareConnections are opened to see how many of them stay.
	spareConnections = 4
	// spareLimit is how long one of them may take: the pool may be busy.
	spareLimit = time.Second
	// smallPool has no need of connections that stay.
	smallPool = 8
)

// examinePool finds a pool that is unbounded, or that closes its connections as
// soon as they are not used.
func (x *examination) examinePool() {
	open := x.pool.Stats().MaxOpenConnections
	if open == 0 {
		x.find(server.Finding{
			Check: "max_open_conns", Severity: server.Warning, Where: "the pool", Problem: "is unbounded",
			Consequence: "a flood of requests takes all connections or files that there are, also from others", Remedy: "pool.SetMaxOpenConns(20); pool.SetMaxIdleConns(20)",
		})
	}
	if x.db.Name() == "sqlite" || open != 0 && open < smallPool {
		return // to open a file costs nothing
	}
	before := x.pool.Stats().MaxIdleClosed
	spare := x.spareConns(spareConnections)
	closeAll(spare)
	after := x.pool.Stats()
	if len(spare) == spareConnections && after.MaxIdleClosed > before && after.Idle < spareConnections {
		x.find(server.Finding{
			Check: "max_idle_conns", Severity: server.Warning, Where: "the pool", Problem: fmt.Sprintf("keeps %d connections that are idle", after.Idle),
			Consequence: "under load most requests connect anew, each in some milliseconds", Remedy: "pool.SetMaxIdleConns, to the same as SetMaxOpenConns",
		})
	}
}

// spareConns returns connections of the pool beside the examination's own, as many
// as there are without waiting long.
func (x *examination) spareConns(n int) (conns []*sql.Conn) {
	ctx, cancel := context.WithTimeout(x.ctx, spareLimit)
	defer cancel()
	for range n {
		conn, err := x.pool.Conn(ctx)
		if err != nil {
			return conns
		}
		conns = append(conns, conn)
	}
	return conns
}

func closeAll(conns []*sql.Conn) {
	for _, conn := range conns {
		_ = conn.Close()
	}
}

// examinePrimary asks as a store does where its reads go that must see what was
// just written: by the handle's own plugins and conditions.
func (x *examination) examinePrimary(engine engine) {
	if engine.replica() == "" || x.found("read_only") || x.found("prepared_statements") {
		return
	}
	type answer struct {
		Replica bool `gorm:"column:replica"`
	}
	var answers []answer
	t := Table{db: x.db.Session(&gorm.Session{Logger: logger.Discard})}
	err := t.primary(x.ctx).Table("(SELECT " + engine.replica() + " AS replica) AS t").Find(&answers).Error
	if err != nil {
		x.unseen("where reads go", err)
		return
	}
	if len(answers) == 1 && answers[0].Replica {
		x.find(server.Finding{
			Check: "reads_of_replica", Severity: server.Grave, Where: "the *gorm.DB", Problem: "has a replica answer the stores' reads, also those that ask for the primary",
			Consequence: "a code or a token that was just issued is not found, and one that was revoked still is", Remedy: "let gorm.io/plugin/dbresolver have the primary among its Sources, or none",
		})
	}
}
