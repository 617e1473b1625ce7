package gormstore

import (
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/server/finding"
)

// postgresEngine reads PostgreSQL's system catalog, which every role may read.
type postgresEngine struct{}

func (postgresEngine) settings(x *examination) {
	var replica bool
	var readOnly, fsync, synchronousCommit string
	var connections int
	err := x.askOne([]any{&replica, &readOnly, &fsync, &synchronousCommit, &connections},
		`SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only'), current_setting('fsync'),
			current_setting('synchronous_commit'), current_setting('max_connections')::int`)
	if err != nil {
		x.unseen("PostgreSQL's settings", err)
		return
	}
	shared := x.examineSharing()
	switch {
	case replica:
		x.find(finding.Finding{
			Check: "read_only", Severity: finding.Grave, Where: "the connection string", Problem: "connects to a replica",
			Consequence: "nothing can be written", Remedy: "connect to the primary, or add target_session_attrs=read-write",
		})
	case readOnly == "on":
		x.find(finding.Finding{
			Check: "read_only", Severity: finding.Grave, Where: "default_transaction_read_only", Problem: "is on",
			Consequence: "nothing can be written", Remedy: "ALTER ROLE … RESET default_transaction_read_only",
		})
	}
	if fsync == "off" {
		x.find(finding.Finding{
			Check: "durability", Severity: finding.Grave, Where: "fsync", Problem: "is off",
			Consequence: "a power cut may damage the database", Remedy: "ALTER SYSTEM RESET fsync",
		})
	}
	if synchronousCommit == "off" {
		x.find(finding.Finding{
			Check: "durability", Severity: finding.Warning, Where: "synchronous_commit", Problem: "is off",
			Consequence: "a crash may undo the redemption of a code or the revocation of a token", Remedy: "ALTER ROLE … SET synchronous_commit = 'on'",
		})
	}
	if open := x.pool.Stats().MaxOpenConnections; open > connections && !shared {
		x.find(finding.Finding{
			Check: "max_open_conns", Severity: finding.Warning, Where: "the pool", Problem: fmt.Sprintf("may open %d connections, but PostgreSQL allows only %d", open, connections),
			Consequence: "requests fail under load", Remedy: "set pool.SetMaxOpenConns to each instance's share of them",
		})
	}
}

// examineSharing finds prepared statements behind a pooler such as PgBouncer that assigns
// a server connection for one transaction only: the next transaction may get another
// connection, which does not have them. It reports whether there is such a pooler.
func (x *examination) examineSharing() bool {
	spare := x.spareConns(1)
	defer closeAll(spare)
	if !x.sharesBackends(append(spare, x.conn)) {
		return false
	}
	prepared := x.db.PrepareStmt
	if _, ok := x.db.ConnPool.(*gorm.PreparedStmtDB); ok {
		prepared = true
	}
	if prepared && x.prepares(func(tx *sql.Tx, statement string) error {
		stmt, err := tx.PrepareContext(x.ctx, statement) // left open until the transaction ends, as GORM does
		if err != nil {
			return err
		}
		return runs(stmt.QueryContext(x.ctx, 1))
	}) {
		x.find(finding.Finding{
			Check: "prepared_statements", Severity: finding.Grave, Where: "gorm.Config.PrepareStmt", Problem: "is on behind a pooler in transaction mode, such as PgBouncer",
			Consequence: "most statements fail", Remedy: "PrepareStmt: false",
		})
	}
	if x.prepares(func(tx *sql.Tx, statement string) error { return runs(tx.QueryContext(x.ctx, statement, 1)) }) {
		x.find(finding.Finding{
			Check: "prepared_statements", Severity: finding.Grave, Where: "the connection string", Problem: "lets the driver prepare statements behind a pooler in transaction mode, such as PgBouncer",
			Consequence: "many statements fail", Remedy: "default_query_exec_mode=exec in the connection string",
		})
	}
	return true
}

// runs reads the result of a query to its end.
func runs(rows *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	return errors.Join(rows.Err(), rows.Close())
}

// sharesBackends reports whether connections of the pool share a server process, or
// change theirs, which happens only behind a pooler.
func (x *examination) sharesBackends(conns []*sql.Conn) bool {
	const attempts = 5
	owners, last := make(map[int]int), make(map[int]int)
	for range attempts {
		for i, conn := range conns {
			var backend int
			err := x.askOn(conn, func(scan func(...any) error) error { return scan(&backend) }, "SELECT pg_backend_pid()")
			if err != nil {
				return false
			}
			owner, known := owners[backend]
			before, asked := last[i]
			if known && owner != i || asked && before != backend {
				return true
			}
			owners[backend], last[i] = i, backend
		}
	}
	return false
}

// prepares reports whether a statement that is run in the same way as the program's
// leaves a prepared statement on the server, apart from those that PgBouncer manages
// itself (max_prepared_statements).
func (x *examination) prepares(run func(tx *sql.Tx, statement string) error) bool {
	tx, err := x.conn.BeginTx(x.ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return false
	}
	defer func() { _ = tx.Rollback() }()
	mark := "gormoauth " + rand.Text()
	for range 2 { // a driver may prepare a statement only when it is repeated
		if run(tx, "SELECT $1::int /* "+mark+" */") != nil {
			return false
		}
	}
	count := 0
	err = eachRow(x.ctx, tx, func(scan func(...any) error) error { return scan(&count) },
		"SELECT count(*) FROM pg_prepared_statements WHERE name NOT LIKE 'PGBOUNCER%' AND statement LIKE '%' || $1::text || '%' /* "+rand.Text()+" */", mark)
	return err == nil && count > 0
}

func (postgresEngine) replica() string { return "pg_is_in_recovery()" }

func (postgresEngine) retype(table, column, columnType string) string {
	return "ALTER TABLE " + table + " ALTER COLUMN " + column + " TYPE " + columnType
}

// named selects the tables of the models by the names in $1.
const named = `WITH named AS (SELECT n.name, to_regclass(n.name) AS oid FROM unnest(string_to_array($1::text, E'\n')) AS n(name)) `

func (postgresEngine) tables(x *examination) (map[string]*catalogTable, error) {
	byName := make(map[string]string)
	var quoted []string
	for _, m := range x.models {
		name := x.quote(m.table.schema.Table)
		byName[name], quoted = m.table.schema.Table, append(quoted, name)
	}
	names := strings.Join(quoted, "\n")
	tables := make(map[string]*catalogTable)
	err := x.ask(func(scan func(...any) error) error {
		var name, column, kind string
		var c tableColumn
		if err := scan(&name, &column, &kind, &c.written, &c.length, &c.nullable, &c.hasDefault, &c.insensitive); err != nil {
			return err
		}
		c.bits = map[string]int{"int2": 16, "int4": 32}[kind]
		if tables[byName[name]] == nil {
			tables[byName[name]] = newCatalogTable()
		}
		tables[byName[name]].columns[column] = c
		return nil
	}, named+`SELECT named.name, a.attname, t.typname, format_type(a.atttypid, a.atttypmod),
			CASE WHEN t.typname IN ('varchar', 'bpchar') AND a.atttypmod > 4 THEN a.atttypmod - 4 ELSE 0 END,
			NOT a.attnotnull, a.atthasdef OR a.attidentity <> '', CASE WHEN c.collisdeterministic THEN '' ELSE coalesce(c.collname, '') END
		FROM named JOIN pg_attribute a ON a.attrelid = named.oid AND a.attnum > 0 AND NOT a.attisdropped
		JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation c ON c.oid = a.attcollation`, names)
	if err != nil {
		return nil, err
	}
	err = x.ask(func(scan func(...any) error) error {
		var name string
		var index tableIndex
		var column string
		if err := scan(&name, &index.name, &index.unique, &index.usable, &index.partial, &index.method, &index.bytes, &column); err != nil {
			return err
		}
		tables[byName[name]].addColumn(index, column)
		return nil
	}, named+`SELECT named.name, ic.relname, i.indisunique, i.indisvalid AND i.indisready, i.indpred IS NOT NULL AND
			NOT (i.indnkeyatts = 1 AND pg_get_expr(i.indpred, i.indrelid) = '(' || quote_ident(a.attname) || ' IS NOT NULL)'), am.amname,
			coalesce(pg_relation_size(ic.oid), 0), coalesce(a.attname, '')
		FROM named JOIN pg_index i ON i.indrelid = named.oid JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_am am ON am.oid = ic.relam
		CROSS JOIN unnest(i.indkey) WITH ORDINALITY k(attnum, place) LEFT JOIN pg_attribute a ON a.attrelid = named.oid AND a.attnum = k.attnum AND k.attnum > 0
		WHERE k.place <= i.indnkeyatts ORDER BY named.name, ic.relname, k.place`, names)
	if err != nil {
		return nil, err
	}
	return tables, x.ask(func(scan func(...any) error) error {
		var name, column string
		if err := scan(&name, &column); err != nil {
			return err
		}
		tables[byName[name]].refer(column)
		return nil
	}, named+`SELECT named.name, a.attname FROM named JOIN pg_constraint c ON c.conrelid = named.oid AND c.contype = 'f'
		CROSS JOIN unnest(c.conkey) k(attnum) JOIN pg_attribute a ON a.attrelid = named.oid AND a.attnum = k.attnum`, names)
}
