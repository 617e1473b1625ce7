package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/gormstore"
)

// revokeResult is how long it takes to end all grants of a large client.
type revokeResult struct {
	Engine      string
	Rows, Ended int
	RowBytes    int64         // of a row, and of its entries in all indexes; 0 where that is not told
	IndexBytes  int64         // of the entries alone
	Revoking    time.Duration // until every row is revoked
	Took        time.Duration // until the call has returned, which waits for what is under way
}

// clientsOfRows is how many clients share the rows.
const clientsOfRows = 13

// revoke ends one of several clients whose tokens lie all over a table.
func revoke(e engine, rows int) (revokeResult, error) {
	result := revokeResult{Engine: e.name, Rows: rows}
	db, _, err := filled(e, "revoke", rows, time.Now().Add(30*24*time.Hour))
	if err != nil {
		return result, err
	}
	if err := db.Exec(fmt.Sprintf("UPDATE tokens SET client_id = 'client-' || (id %% %d)", clientsOfRows)).Error; err != nil {
		return result, err
	}
	if e.kind == "postgres" { // the update has left each row twice
		if err := db.Exec("VACUUM FULL tokens").Error; err != nil {
			return result, err
		}
	}
	if err := analyze(db); err != nil {
		return result, err
	}
	if e.kind == "postgres" {
		sizes := "SELECT pg_total_relation_size('tokens'), pg_indexes_size('tokens')"
		if err := db.Raw(sizes).Row().Scan(&result.RowBytes, &result.IndexBytes); err != nil {
			return result, err
		}
		result.RowBytes, result.IndexBytes = result.RowBytes/int64(rows), result.IndexBytes/int64(rows)
	}
	tokens, err := gormstore.NewTokens[token](db)
	if err != nil {
		return result, err
	}
	began := time.Now()
	err = tokens.Revoke(context.Background(), gormstore.RevokeOptions{ClientID: "client-1", Report: func(ended int64) {
		result.Ended, result.Revoking = int(ended), time.Since(began)
	}})
	result.Took = time.Since(began)
	return result, err
}

func runRevoke(out io.Writer, engines []engine, rows int) error {
	var all []revokeResult
	for _, e := range engines {
		result, err := revoke(e, rows)
		if err != nil {
			return err
		}
		all = append(all, result)
	}
	fmt.Fprintln(out, revokeTable(all))
	return nil
}

func revokeTable(all []revokeResult) string {
	var b strings.Builder
	b.WriteString("\n| engine | tokens | bytes a token (of them indexes) | of the client | revoked in | rows a second | the call returns after |\n|---|---|---|---|---|---|---|\n")
	for _, r := range all {
		fmt.Fprintf(&b, "| %s | %d | %d (%d) | %d | %.1f s | %.0f | %.1f s |\n", r.Engine, r.Rows, r.RowBytes, r.IndexBytes, r.Ended, r.Revoking.Seconds(), float64(r.Ended)/r.Revoking.Seconds(), r.Took.Seconds())
	}
	return b.String()
}
