package gormstore

import (
	"database/sql"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/server/budget"
	"github.com/gormoauth/gormoauth/server/finding"
)

// sqliteEngine reads SQLite's pragmas.
type sqliteEngine struct{}

func (sqliteEngine) settings(x *examination) {
	var file, journal string
	var busy, synchronous int
	for pragma, into := range map[string]any{
		"SELECT file FROM pragma_database_list WHERE name = 'main'": &file, "PRAGMA journal_mode": &journal,
		"PRAGMA busy_timeout": &busy, "PRAGMA synchronous": &synchronous,
	} {
		if err := x.askOne([]any{into}, pragma); err != nil {
			x.unseen("SQLite", err)
			return
		}
	}
	if file == "" {
		x.examineMemory()
		return
	}
	if !strings.EqualFold(journal, "wal") {
		x.find(finding.Finding{
			Check: "journal_mode", Severity: finding.Warning, Where: "PRAGMA journal_mode", Problem: "is " + journal,
			Consequence: "readers and writers block each other", Remedy: "_pragma=journal_mode(WAL) in the DSN (with cgo, _journal_mode=WAL)",
		})
	}
	if busy == 0 {
		x.find(finding.Finding{
			Check: "busy_timeout", Severity: finding.Warning, Where: "PRAGMA busy_timeout", Problem: "is 0",
			Consequence: "a statement that finds the database locked fails immediately", Remedy: "_pragma=busy_timeout(1000) in the DSN (with cgo, _busy_timeout=1000)",
		})
	}
	if budget := budget.Of(x.ctx); busy > 0 && int64(busy) >= budget.Milliseconds() {
		x.find(finding.Finding{
			Check: "busy_timeout", Severity: finding.Warning, Where: "PRAGMA busy_timeout",
			Problem:     fmt.Sprintf("is %d ms, which is not below the storage budget of a request, %v", busy, budget),
			Consequence: "a request that finds the database locked takes longer than its storage budget", Remedy: "_pragma=busy_timeout(1000) in the DSN (with cgo, _busy_timeout=1000)",
		})
	}
	if synchronous == 0 {
		x.find(finding.Finding{
			Check: "durability", Severity: finding.Grave, Where: "PRAGMA synchronous", Problem: "is OFF",
			Consequence: "a power cut may damage the database", Remedy: "remove it from the DSN",
		})
	}
	if dsn := x.sqliteDSN(); dsn != "" && !begins(dsn) {
		x.find(finding.Finding{
			Check: "txlock", Severity: finding.Warning, Where: "the DSN", Problem: "does not have _txlock=immediate",
			Consequence: "a transaction that reads before it writes fails as soon as another process writes", Remedy: "_txlock=immediate in the DSN",
		})
	}
	if onNetwork(file) {
		x.find(finding.Finding{
			Check: "network_filesystem", Severity: finding.Grave, Where: "the file " + file, Problem: "is on a network file system",
			Consequence: "its locks are unreliable, and two writers may corrupt the database", Remedy: "keep it on a disk of this machine, or use PostgreSQL",
		})
	}
}

// begins reports whether a connection string makes transactions begin with the write
// lock.
func begins(dsn string) bool {
	_, query, _ := strings.Cut(dsn, "?")
	settings, err := url.ParseQuery(query)
	return err == nil && slices.Contains([]string{"immediate", "exclusive"}, strings.ToLower(settings.Get("_txlock")))
}

// sqliteDSN returns the dialector's connection string; empty if it was given a connection
// pool instead.
func (x *examination) sqliteDSN() string {
	dialector := reflect.Indirect(reflect.ValueOf(x.db.Dialector))
	if dsn := field(dialector, "DSN"); dsn.Kind() == reflect.String {
		return dsn.String()
	}
	return ""
}

// examineMemory finds an in-memory database that is separate for each connection.
func (x *examination) examineMemory() {
	if x.pool.Stats().MaxOpenConnections == 1 {
		return
	}
	const tables = "SELECT COUNT(*) FROM sqlite_master"
	var here, there int
	err := x.askOne([]any{&here}, tables)
	spare := x.spareConns(1)
	defer closeAll(spare)
	if err == nil && len(spare) == 1 {
		err = x.askOn(spare[0], func(scan func(...any) error) error { return scan(&there) }, tables)
	}
	if err != nil {
		x.unseen("the in-memory database", err)
		return
	}
	if len(spare) == 1 && here != there {
		x.find(finding.Finding{
			Check: "memory", Severity: finding.Grave, Where: "the in-memory database", Problem: "is a separate one for each connection of the pool",
			Consequence: "the next request does not find what one has stored", Remedy: "pool.SetMaxOpenConns(1)",
		})
	}
}

func (sqliteEngine) replica() string { return "" }

func (sqliteEngine) retype(table, column, columnType string) string {
	return fmt.Sprintf("recreate %s with %s %s, and copy the rows", table, column, strings.TrimSpace(columnType))
}

func (sqliteEngine) tables(x *examination) (map[string]*catalogTable, error) {
	tables := make(map[string]*catalogTable)
	err := x.ask(func(scan func(...any) error) error {
		var name, column, columnType string
		var notNull bool
		var otherwise sql.NullString
		var key int
		if err := scan(&name, &column, &columnType, &notNull, &otherwise, &key); err != nil {
			return err
		}
		if tables[name] == nil {
			tables[name] = newCatalogTable()
		}
		tables[name].columns[column] = tableColumn{
			written: columnType, nullable: !notNull, hasDefault: otherwise.Valid || key > 0 && strings.EqualFold(columnType, "INTEGER"),
		}
		return nil
	}, `SELECT m.name, p.name, p.type, p."notnull", p.dflt_value, p.pk FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table'`)
	if err != nil {
		return nil, err
	}
	err = x.ask(func(scan func(...any) error) error {
		var name string
		var column sql.NullString
		index := tableIndex{usable: true}
		if err := scan(&name, &index.name, &index.unique, &index.partial, &column); err != nil {
			return err
		}
		tables[name].addColumn(index, column.String)
		return nil
	}, `SELECT m.name, l.name, l."unique", l.partial, i.name FROM sqlite_master m JOIN pragma_index_list(m.name) l JOIN pragma_index_info(l.name) i
		WHERE m.type = 'table' ORDER BY m.name, l.name, i.seqno`)
	if err != nil {
		return nil, err
	}
	foreign, err := x.sqliteForeignKeys(tables)
	if err == nil {
		err = x.sqliteCollations(tables)
	}
	if err == nil && foreign {
		x.examineForeignKeys()
	}
	return tables, err
}

// sqliteForeignKeys records which columns refer to another table, and reports whether any
// column of the models does.
func (x *examination) sqliteForeignKeys(tables map[string]*catalogTable) (some bool, err error) {
	err = x.ask(func(scan func(...any) error) error {
		var name, column string
		if err := scan(&name, &column); err != nil {
			return err
		}
		tables[name].refer(column)
		some = some || slices.ContainsFunc(x.models, func(m *examinedModel) bool { return m.table.schema.Table == name })
		return nil
	}, `SELECT m.name, f."from" FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'`)
	return some, err
}

// examineForeignKeys finds that foreign keys are not enforced.
func (x *examination) examineForeignKeys() {
	var on bool
	if err := x.askOne([]any{&on}, "PRAGMA foreign_keys"); err != nil {
		x.unseen("PRAGMA foreign_keys", err)
		return
	}
	if !on {
		x.find(finding.Finding{
			Check: "foreign_keys", Severity: finding.Warning, Where: "PRAGMA foreign_keys", Problem: "is off, but there are tables with foreign keys",
			Consequence: "rows that refer to a deleted row are kept", Remedy: "_pragma=foreign_keys(1) in the DSN (with cgo, _foreign_keys=1)",
		})
	}
}

// sqliteCollations finds columns with a case-insensitive collation by comparing
// constants: the catalog does not contain a column's collation, but the first SELECT of a
// compound, which returns no rows here, gives its column's collation to the others.
func (x *examination) sqliteCollations(tables map[string]*catalogTable) error {
	var parts []string
	var places []func()
	for _, m := range x.models {
		t := tables[m.table.schema.Table]
		for _, name := range m.table.schema.DBNames {
			if t == nil || !m.isCompared(m.table.schema.FieldsByDBName[name]) || !t.hasColumns([]string{name}) {
				continue
			}
			parts = append(parts, fmt.Sprintf("SELECT %d WHERE EXISTS (SELECT 1 FROM (SELECT %s AS c FROM %s WHERE 0 UNION ALL SELECT 'a') WHERE c = 'A')",
				len(parts), x.quote(name), x.quote(m.table.schema.Table)))
			places = append(places, func() {
				column := t.columns[name]
				column.insensitive = "COLLATE NOCASE"
				t.columns[name] = column
			})
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return x.ask(func(scan func(...any) error) error {
		var i int
		if err := scan(&i); err != nil {
			return err
		}
		places[i]()
		return nil
	}, strings.Join(parts, " UNION ALL "))
}
