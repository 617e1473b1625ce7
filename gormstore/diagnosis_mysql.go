package gormstore

import (
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/server/budget"
	"github.com/gormoauth/gormoauth/server/finding"
)

// mysqlEngine reads the information schema of MySQL and MariaDB, which shows a role only
// the tables on which it has some privilege.
type mysqlEngine struct{}

func (mysqlEngine) settings(x *examination) {
	variables := make(map[string]string)
	err := x.ask(func(scan func(...any) error) error {
		var name, value string
		if err := scan(&name, &value); err != nil {
			return err
		}
		variables[name] = value
		return nil
	}, `SHOW VARIABLES WHERE Variable_name IN ('wsrep_on', 'wsrep_sync_wait', 'read_only', 'innodb_read_only', 'sql_mode',
		'innodb_lock_wait_timeout', 'tx_isolation', 'transaction_isolation', 'innodb_flush_log_at_trx_commit', 'character_set_connection')`)
	if err != nil {
		x.unseen("MySQL's settings", err)
		return
	}
	x.examineVariables(variables)
}

// examineVariables finds what is wrong with the settings of MySQL, by their names.
func (x *examination) examineVariables(variables map[string]string) {
	if variables["read_only"] == "ON" || variables["innodb_read_only"] == "ON" {
		x.find(finding.Finding{
			Check: "read_only", Severity: finding.Grave, Where: "read_only", Problem: "is on: this is a replica",
			Consequence: "nothing can be written", Remedy: "connect to the primary",
		})
	}
	for _, name := range []string{"tx_isolation", "transaction_isolation"} {
		if variables[name] == "READ-UNCOMMITTED" {
			x.find(finding.Finding{
				Check: "isolation", Severity: finding.Grave, Where: name, Problem: "is READ-UNCOMMITTED",
				Consequence: "reads see changes that may be rolled back: a token is accepted or refused because of something that never happened",
				Remedy:      "set tx_isolation='READ-COMMITTED' in the connection string, or remove it (MySQL: transaction_isolation)",
			})
			break // older servers have both
		}
	}
	// The server keeps waiting for the lock after the client has given up, and then executes
	// the statement.
	if wait, err := strconv.Atoi(variables["innodb_lock_wait_timeout"]); err == nil && time.Duration(wait)*time.Second >= budget.Of(x.ctx) {
		x.find(finding.Finding{
			Check: "lock_wait_timeout", Severity: finding.Warning, Where: "innodb_lock_wait_timeout",
			Problem:     fmt.Sprintf("is %d s, which is not below the storage budget of a request, %v", wait, budget.Of(x.ctx)),
			Consequence: "a statement that timed out while it waited for a lock may still be executed after the request was told that it failed",
			Remedy:      "innodb_lock_wait_timeout=1 in the connection string",
		})
	}
	galera := variables["wsrep_on"] == "ON"
	if wait := variables["wsrep_sync_wait"]; galera && wait != "" && (wait[len(wait)-1]-'0')%2 == 0 {
		x.find(finding.Finding{
			Check: "wsrep_sync_wait", Severity: finding.Warning, Where: "wsrep_sync_wait", Problem: "is " + wait + " on a Galera cluster",
			Consequence: "a code or token that another node has just issued is sometimes not found", Remedy: "wsrep_sync_wait=1 in the connection string",
		})
	}
	// In a cluster, the other nodes have what one node has lost.
	if flush := variables["innodb_flush_log_at_trx_commit"]; !galera && flush != "1" && flush != "" {
		x.find(finding.Finding{
			Check: "durability", Severity: finding.Warning, Where: "innodb_flush_log_at_trx_commit", Problem: "is " + flush,
			Consequence: "a crash may undo the redemption of a code or the revocation of a token", Remedy: "SET GLOBAL innodb_flush_log_at_trx_commit = 1",
		})
	}
	if mode := variables["sql_mode"]; !strings.Contains(mode, "STRICT_TRANS_TABLES") && !strings.Contains(mode, "STRICT_ALL_TABLES") {
		x.find(finding.Finding{
			Check: "sql_mode", Severity: finding.Warning, Where: "sql_mode", Problem: "is not strict",
			Consequence: "a value that does not fit into its column is truncated silently", Remedy: "sql_mode='STRICT_TRANS_TABLES' in the connection string",
		})
	}
	if charset := variables["character_set_connection"]; charset != "utf8mb4" {
		x.find(finding.Finding{
			Check: "character_set", Severity: finding.Warning, Where: "the connection string", Problem: "has the character set " + charset,
			Consequence: "names with some characters are refused", Remedy: "charset=utf8mb4 in the connection string",
		})
	}
}

func (mysqlEngine) replica() string { return "@@read_only" }

func (mysqlEngine) retype(table, column, columnType string) string {
	return "ALTER TABLE " + table + " MODIFY " + column + " " + columnType
}

func (mysqlEngine) tables(x *examination) (map[string]*catalogTable, error) {
	var places []string
	var names []any
	for _, m := range x.models {
		places, names = append(places, "?"), append(names, m.table.schema.Table)
	}
	if len(names) == 0 {
		return nil, nil
	}
	ours := " WHERE table_schema = DATABASE() AND table_name IN (" + strings.Join(places, ", ") + ")"
	tables := make(map[string]*catalogTable)
	err := x.ask(func(scan func(...any) error) error {
		var name, column, kind, nullable, extra string
		var length sql.NullInt64
		var otherwise, collation, charset sql.NullString
		var c tableColumn
		if err := scan(&name, &column, &kind, &c.written, &length, &nullable, &otherwise, &extra, &collation, &charset); err != nil {
			return err
		}
		c.length, c.nullable = int(min(length.Int64, 1<<30)), nullable == "YES"
		c.hasDefault = otherwise.Valid || strings.Contains(extra, "auto_increment") || strings.Contains(extra, "GENERATED")
		c.bits = map[string]int{"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32}[kind]
		if strings.HasSuffix(collation.String, "_ci") || strings.HasSuffix(collation.String, "_ai") {
			c.insensitive = collation.String
		}
		if charset.Valid && charset.String != "utf8mb4" {
			c.charset = charset.String
		}
		if tables[name] == nil {
			tables[name] = newCatalogTable()
		}
		tables[name].columns[column] = c
		return nil
	}, `SELECT table_name, column_name, data_type, column_type, character_maximum_length, is_nullable, column_default, extra, collation_name, character_set_name
		FROM information_schema.columns`+ours, names...)
	if err != nil {
		return nil, err
	}
	err = x.ask(func(scan func(...any) error) error {
		var name string
		var other bool
		var column sql.NullString
		index := tableIndex{usable: true}
		if err := scan(&name, &index.name, &other, &column); err != nil {
			return err
		}
		index.unique = !other
		tables[name].addColumn(index, column.String)
		return nil
	}, "SELECT table_name, index_name, non_unique, column_name FROM information_schema.statistics"+ours+" ORDER BY table_name, index_name, seq_in_index", names...)
	if err != nil {
		return nil, err
	}
	err = x.ask(func(scan func(...any) error) error {
		var name, column string
		if err := scan(&name, &column); err != nil {
			return err
		}
		tables[name].refer(column)
		return nil
	}, "SELECT table_name, column_name FROM information_schema.key_column_usage"+ours+" AND referenced_table_name IS NOT NULL", names...)
	if err != nil {
		return nil, fmt.Errorf("foreign keys: %w", err)
	}
	return tables, nil
}
