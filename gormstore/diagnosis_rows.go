package gormstore

import (
	"fmt"
	"strings"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/finding"
)

const (
	// countedRows is the number at which counting rows stops.
	countedRows = 1000
	// examinedRows is how many rows of a table are examined for what older programs wrote:
	// the first in the order of the primary key, which usually are the oldest ones.
	examinedRows = 10_000
	// namedDuplicates is how many client ids are listed.
	namedDuplicates = 5
)

// examineRows finds tokens and secrets that an older program stored in plaintext, and
// clients and JSON that would be refused today.
func (x *examination) examineRows(m *examinedModel, t *catalogTable) {
	x.examineClients(m, t)
	x.examineStoredJSON(m, t)
	x.examineOldTokens(m, t)
	x.examineOldSecrets(m, t)
}

// examineOldTokens finds tokens in plaintext, which no release of this module wrote, and
// rows without an issuer in a table that several issuers share: each of them accepts those.
// It examines a bounded number of rows.
func (x *examination) examineOldTokens(m *examinedModel, t *catalogTable) {
	grantID, grantedAt, form, issuer := m.column("TokenMixin", "GrantID"), m.column("TokenMixin", "GrantedAt"), m.column("TokenMixin", "Form"), m.table.columns["Issuer"]
	if !t.hasColumns([]string{grantID, grantedAt, form, issuer}) {
		return
	}
	table, column := x.quote(m.table.schema.Table), x.quote(issuer)
	plaintext := fmt.Sprintf("%s IS NULL AND %s = 0 AND (%s IS NULL OR %[3]s = '')", x.quote(grantID), x.quote(grantedAt), x.quote(form))
	var plain, rows, named int64
	var first, last *string
	err := x.askOne([]any{&plain, &first, &last, &rows, &named}, fmt.Sprintf(
		"SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM %[5]s WHERE %[3]s LIMIT %[4]d) p), MIN(%[1]s), MAX(%[1]s), COUNT(*), COUNT(%[1]s) FROM (SELECT NULLIF(%[1]s, '') AS %[1]s FROM %[2]s LIMIT %[4]d) t",
		column, table, plaintext, countedRows, x.firstRows(m, t)))
	if err != nil {
		x.unseen("table "+m.table.schema.Table, err)
		return
	}
	x.foundPlaintext(m, "tokens", plain, "anyone who reads the database learns them, and their clients cannot use them until they are converted",
		fmt.Sprintf("call gormoauth.CreateDigestPlaintextFunc[%s](db) until it returns 0", m.table.schema.Name))
	if first == nil || *first == *last || named == rows {
		return
	}
	x.find(finding.Finding{
		Check: "rows_without_issuer", Severity: finding.Warning, Where: "table " + m.table.schema.Table,
		Problem:     fmt.Sprintf("has rows of several issuers, such as %s and %s, and %d rows of an older release without an issuer", *first, *last, rows-named),
		Consequence: "each of the issuers accepts those until they expire",
		Remedy:      fmt.Sprintf("UPDATE %s SET %s = … WHERE %[2]s IS NULL, with the issuer of each row's client", table, column),
	})
}

// examineOldSecrets finds secrets in plaintext, and clients whose secret has an ambiguous
// or unknown form: they cannot authenticate.
func (x *examination) examineOldSecrets(m *examinedModel, t *catalogTable) {
	secret, clientID := m.column("ClientMixin", "ClientSecret"), m.column("ClientMixin", "ClientID")
	if !t.hasColumns([]string{secret, clientID}) {
		return
	}
	column, table := x.quote(secret), x.quote(m.table.schema.Table)
	condition := column + " <> ''"
	for _, scheme := range secretSchemes {
		condition += fmt.Sprintf(" AND %s NOT LIKE '%s'", column, scheme)
	}
	var plain int64
	var bare, strange []string
	err := x.ask(func(scan func(...any) error) error {
		var id, stored string
		if err := scan(&id, &stored); err != nil {
			return err
		}
		switch {
		case models.IsPlaintextClientSecret(stored):
			plain++
		case models.IsBareHexadecimalSecret(stored):
			bare = append(bare, id)
		case !models.IsHashedClientSecret(stored):
			strange = append(strange, id)
		}
		return nil
	}, fmt.Sprintf("SELECT %s, %s FROM %s WHERE %s LIMIT %d", x.quote(clientID), column, x.firstRows(m, t), condition, countedRows))
	if err != nil {
		x.unseen("table "+m.table.schema.Table, err)
		return
	}
	where := "table " + m.table.schema.Table
	x.foundPlaintext(m, "secrets", plain, "anyone who reads the table "+table+" can impersonate these clients",
		"gormoauth.Clients[Client](gormstore.ClientOptions{RewritePlaintext: true}), or call Clients.DigestPlaintext of gormstore until it returns 0")
	if len(bare) > 0 {
		x.find(finding.Finding{
			Check: "hexadecimal_secrets", Severity: finding.Grave, Where: where, Problem: "has secrets that consist of hexadecimal digits and may be digests, such as those of " + someOf(bare),
			Consequence: "these clients cannot authenticate with them",
			Remedy:      "gormoauth.Clients[Client](gormstore.ClientOptions{HexadecimalSecrets: gormstore.HexadecimalPlaintext}), or gormstore.HexadecimalSHA256 if they are digests",
		})
	}
	if len(strange) > 0 {
		x.find(finding.Finding{
			Check: "unknown_secrets", Severity: finding.Grave, Where: where, Problem: "has secrets in an unknown form, such as those of " + someOf(strange),
			Consequence: "these clients cannot authenticate with them",
			Remedy:      "give the model a method CheckClientSecret that knows the form, or rotate the secrets with ClientFactory.RotateSecret",
		})
	}
}

// firstRows returns the first rows of a table in the order of its primary key, as a table that
// costs the same however large the real one is.
func (x *examination) firstRows(m *examinedModel, t *catalogTable) string {
	order := ""
	if primary := m.table.schema.PrioritizedPrimaryField; primary != nil && t.hasColumns([]string{primary.DBName}) {
		order = " ORDER BY " + x.quote(primary.DBName)
	}
	return fmt.Sprintf("(SELECT * FROM %s%s LIMIT %d) f", x.quote(m.table.schema.Table), order, examinedRows)
}

// someOf lists the first of the client ids.
func someOf(ids []string) string {
	var named []string
	for i, id := range ids {
		if i == namedDuplicates {
			named = append(named, "others")
			break
		}
		named = append(named, fmt.Sprintf("%q", id))
	}
	return strings.Join(named, ", ")
}

// foundPlaintext reports rows with plaintext, if there are any.
func (x *examination) foundPlaintext(m *examinedModel, what string, rows int64, consequence, remedy string) {
	if rows == 0 {
		return
	}
	count := fmt.Sprint(rows)
	if rows == countedRows {
		count += " or more"
	}
	x.find(finding.Finding{
		Check: "plaintext", Severity: finding.Warning, Where: "table " + m.table.schema.Table, Problem: "has " + what + " in plaintext, in " + count + " of its rows",
		Consequence: consequence, Remedy: remedy,
	})
}

// examineDuplicates finds client ids that several rows have: a unique index can be
// created only when one row of each is left.
func (x *examination) examineDuplicates(m *examinedModel, clientID string) {
	where, column, table := "table "+m.table.schema.Table, x.quote(clientID), x.quote(m.table.schema.Table)
	var ids []string
	err := x.ask(func(scan func(...any) error) error {
		var id string
		if err := scan(&id); err != nil {
			return err
		}
		ids = append(ids, fmt.Sprintf("%q", id))
		return nil
	}, fmt.Sprintf("SELECT %[1]s FROM %[2]s WHERE %[1]s IS NOT NULL GROUP BY %[1]s HAVING COUNT(*) > 1 ORDER BY %[1]s LIMIT %[3]d", column, table, namedDuplicates+1))
	if err != nil {
		x.unseen(where, err)
		return
	}
	if len(ids) == 0 {
		return
	}
	if len(ids) > namedDuplicates {
		ids[namedDuplicates] = "others"
	}
	x.find(finding.Finding{
		Check: "duplicate_client_id", Severity: finding.Grave, Where: where, Problem: "has several clients with the client_id " + strings.Join(ids, ", "),
		Consequence: "it is undefined which of them is found, and a unique index cannot be created",
		Remedy:      fmt.Sprintf("SELECT * FROM %s WHERE %s IN (…), and delete all but one of each", table, column),
	})
}
