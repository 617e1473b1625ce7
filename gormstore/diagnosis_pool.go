package gormstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth/server/finding"
)

const (
	// spareConnections is how many connections are opened to see how many of them stay open.
	spareConnections = 4
	// spareLimit is how long opening them may take, because the pool may be busy.
	spareLimit = time.Second
	// smallPool is the size below which a pool needs no idle connections.
	smallPool = 8
)

// examinePool finds a pool that is unbounded, or that closes connections as soon as they
// are idle.
func (x *examination) examinePool() {
	open := x.pool.Stats().MaxOpenConnections
	if open == 0 {
		x.find(finding.Finding{
			Check: "max_open_conns", Severity: finding.Warning, Where: "the pool", Problem: "is unbounded",
			Consequence: "a flood of requests exhausts the connections or file descriptors, including those of others", Remedy: "pool.SetMaxOpenConns(20); pool.SetMaxIdleConns(20)",
		})
	}
	if x.db.Name() == "sqlite" || open != 0 && open < smallPool {
		return // opening a file is cheap
	}
	before := x.pool.Stats().MaxIdleClosed
	spare := x.spareConns(spareConnections)
	closeAll(spare)
	after := x.pool.Stats()
	if len(spare) == spareConnections && after.MaxIdleClosed > before && after.Idle < spareConnections {
		x.find(finding.Finding{
			Check: "max_idle_conns", Severity: finding.Warning, Where: "the pool", Problem: fmt.Sprintf("keeps only %d idle connections", after.Idle),
			Consequence: "under load most requests open a new connection, which takes some milliseconds each", Remedy: "set pool.SetMaxIdleConns to the same number as SetMaxOpenConns",
		})
	}
}

// spareConns returns up to n connections of the pool besides the examination's own, as
// many as are available within spareLimit.
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

// examinePrimary finds out whether reads that must see the latest writes go to the
// primary. It reads as a store does, with the handle's plugins and conditions.
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
		x.find(finding.Finding{
			Check: "reads_of_replica", Severity: finding.Grave, Where: "the *gorm.DB", Problem: "sends the stores' reads to a replica, including those that ask for the primary",
			Consequence: "a code or token that was just issued is not found, and one that was just revoked still is", Remedy: "configure gorm.io/plugin/dbresolver with the primary as its Sources, or without Sources",
		})
	}
}
