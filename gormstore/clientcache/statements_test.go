package clientcache

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// A statement that returns rows empties the cache if it may have changed clients, and no other
// does.
func TestWhichStatementsMayWrite(t *testing.T) {
	for sql, want := range map[string]bool{
		"":                                     false,
		"SELECT":                               false,
		"select * from clients for update":     false,
		"VALUES (1)":                           false,
		"WITH x AS (SELECT 1) SELECT * FROM x": false,
		"PRAGMA table_info(clients)":           false,
		"EXPLAIN SELECT updated FROM clients":  false,
		"INSERT INTO clients DEFAULT VALUES RETURNING id":                               true,
		"update clients set a = 1 returning id":                                         true,
		"DELETE FROM clients RETURNING id":                                              true,
		"REPLACE INTO clients VALUES (1) RETURNING id":                                  true,
		"MERGE INTO clients USING x ON a = b WHEN MATCHED THEN DO NOTHING RETURNING id": true,
		"WITH x AS (DELETE FROM clients RETURNING id) SELECT * FROM x":                  true,
		"/* of the page */ UPDATE clients SET a = 1 RETURNING id":                       true,
		"WITH x(a)AS(SELECT 1)INSERT INTO clients SELECT a FROM x RETURNING id":         true,
		"WITH delete_z AS (VALUES (1)) TABLE delete_z":                                  false,
		"WITH x AS (VALUES (1)) TABLE updates":                                          false,
		"WITH zdelete AS (VALUES (1)) TABLE zdelete":                                    false,
	} {
		assert.Equal(t, want, mayWrite(sql), sql)
	}
}

func TestWhichStatementsMentionATable(t *testing.T) {
	is := mentions("client")
	for sql, want := range map[string]bool{
		"": false, "client": true, `UPDATE "main"."Client" SET a = 1`: true, "UPDATE CLIENT SET a = 1": true, "DELETE FROM client;": true,
		"UPDATE clients SET a = 1": false, "UPDATE others SET client_id = ''": false, "UPDATE my_client SET a = 1": false, "UPDATE others SET a = 1": false,
	} {
		assert.Equal(t, want, is(sql), sql)
	}
}
