package gormstore

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/finding"
)

const (
	// clientBatch is how many clients are read at once.
	clientBatch = 500
	// clientBatches is how many batches are read: only the first rows of a larger table are
	// examined.
	clientBatches = 10
	// namedFaults is how many faults are listed.
	namedFaults = 5
)

// examinedClient is the row of a client under examination.
type examinedClient struct {
	models.ClientMixin

	ignored []models.IgnoredMember
	// unreadable is why the metadata cannot be read at all; nil if it can.
	unreadable error
}

// rowFaults collects faults of one kind in several rows.
type rowFaults struct {
	rows  int
	named []string
}

// add adds the faults of the row with this name.
func (f *rowFaults) add(row string, faults ...string) {
	if len(faults) == 0 {
		return
	}
	f.rows++
	for _, fault := range faults {
		if len(f.named) > namedFaults {
			return
		}
		f.named = append(f.named, row+": "+fault)
	}
}

// String returns the number of rows with faults, and the first of the faults.
func (f *rowFaults) String() string {
	named := f.named
	if len(named) > namedFaults {
		named = append(named[:namedFaults:namedFaults], "and others")
	}
	return fmt.Sprintf("in %d of its rows: %s", f.rows, strings.Join(named, "; "))
}

// examineClients finds clients with URLs, names or keys that are not allowed, and clients
// with ambiguous metadata: rows that are older than the rules, or that were not written
// by this module.
func (x *examination) examineClients(m *examinedModel, t *catalogTable) {
	if !m.is("ClientMixin") {
		return
	}
	names := m.table.columns
	if id, metadata := names["ClientID"], names["ClientMetadata"]; !t.hasColumns([]string{id, metadata}) {
		return
	}
	where := "table " + m.table.schema.Table
	var invalid, ignored, unreadable, keyless, older, ending rowFaults
	last := ""
	for range clientBatches {
		clients, err := x.clientsAfter(m, t, last)
		if err != nil {
			x.unseen(where, err)
			return
		}
		for i := range clients {
			client := &clients[i]
			name := strconv.Quote(client.GetClientID())
			invalid.add(name, texts(clientmeta.Faults(&client.ClientMixin, x.privateUse))...)
			ignored.add(name, texts(client.ignored)...)
			missing, old := x.secretsOf(client)
			keyless.add(name, missing...)
			older.add(name, old...)
			if client.EndedGeneration < client.Generation {
				ending.add(name, "its grants should have ended")
			}
			if client.unreadable != nil {
				unreadable.add(name, client.unreadable.Error())
			}
		}
		if len(clients) < clientBatch {
			break
		}
		last = clients[len(clients)-1].ClientID
	}
	for _, one := range []struct {
		faults   *rowFaults
		check    string
		severity finding.Severity
		problem  string
		finding  finding.Finding
	}{
		{&invalid, "client_metadata", finding.Warning, "has URLs, names or keys that are not allowed, ", finding.Finding{
			Consequence: "those URLs are never used, those names are shown without their invisible characters, and those keys verify nothing",
			Remedy:      "correct the column " + names["ClientMetadata"] + " of those rows, or delete the clients",
		}},
		{&ignored, "client_metadata_ignored", finding.Warning, "has metadata with ambiguous members, which different readers may read differently, ", finding.Finding{
			Consequence: "those members are ignored",
			Remedy:      "write each of those members once, with its exact name and the JSON type of RFC 7591, or remove it, in the column " + names["ClientMetadata"],
		}},
		{&unreadable, "client_metadata_unreadable", finding.Grave, "has metadata that is not a JSON object, ", finding.Finding{
			Consequence: "every request of those clients fails",
			Remedy:      "correct the column " + names["ClientMetadata"] + " of those rows, or delete the clients",
		}},
		{&keyless, "missing_secret", finding.Grave, "has client secrets that were derived from a secret that is not configured, ", finding.Finding{
			Consequence: "those clients cannot authenticate",
			Remedy:      "Config.Secrets: add the secret with that id again, after the newest one; if it is lost, give those clients new secrets with ClientFactory.RotateSecret",
		}},
		{&older, "older_secret", finding.Hint, "has client secrets that were derived from an older secret, ", finding.Finding{
			Consequence: "it must not be removed from Config.Secrets yet",
			Remedy:      "keep it, or give those clients new secrets with ClientFactory.RotateSecret",
		}},
		{&ending, "unfinished_end", finding.Warning, "has clients whose grants should all have ended but have not all been revoked, ", finding.Finding{
			Consequence: "an API that looks up bearer tokens itself still accepts the tokens that were issued to them before",
			Remedy:      "unless this is in progress right now, call RevokeClient again, or DeleteClient for a client that was to be deleted",
		}},
	} {
		if one.faults.rows == 0 {
			continue
		}
		one.finding.Check, one.finding.Severity, one.finding.Where, one.finding.Problem = one.check, one.severity, where, one.problem+one.faults.String()
		x.find(one.finding)
	}
}

// secretsOf returns which of the server's secrets a client's derived secrets need and the
// server does not have, and which older ones they need.
func (x *examination) secretsOf(client *examinedClient) (missing, older []string) {
	if x.server == nil {
		return nil, nil
	}
	newest := x.server.GivenConfig().Secrets.Newest()
	for _, stored := range []string{client.ClientSecret, client.PreviousClientSecret} {
		id, _, derived := models.ReadDerivedClientSecret(stored)
		by := "from the secret with the id " + strconv.Quote(id)
		if id == "" {
			by = "from ClientSecretJWT.Key"
		}
		switch {
		case !derived:
		case !x.server.KnowsSecretKey(stored):
			missing = append(missing, by)
		case id != "" && id != newest:
			older = append(older, by)
		}
	}
	return missing, older
}

// texts returns the faults as strings.
func texts[F fmt.Stringer](faults []F) []string {
	said := make([]string, len(faults))
	for i, fault := range faults {
		said[i] = fault.String()
	}
	return said
}

// clientsAfter returns the next batch of clients in the order of their ids, with the
// columns that are examined. A client whose metadata cannot be read has none.
func (x *examination) clientsAfter(m *examinedModel, t *catalogTable, last string) (clients []examinedClient, err error) {
	names, id := m.table.columns, x.quote(m.column("ClientMixin", "ClientID"))
	read := func(name string) string { // the table may not be migrated yet
		if column := names[name]; t.hasColumns([]string{column}) {
			return "COALESCE(" + x.quote(column) + ", '')"
		}
		return "''"
	}
	number := func(name string) string {
		if column := names[name]; t.hasColumns([]string{column}) {
			return "COALESCE(" + x.quote(column) + ", 0)"
		}
		return "0"
	}
	after := "?"
	if x.db.Name() == "postgres" {
		after = "$1"
	}
	statement := fmt.Sprintf("SELECT %[1]s, %[2]s, %[3]s, %[4]s, %[5]s, %[6]s, %[7]s, %[11]s, %[12]s FROM %[8]s WHERE %[1]s > %[9]s ORDER BY %[1]s LIMIT %[10]d",
		id, read("LongClientID"), read("ClientSource"), read("RegistrationAccessToken"), read("ClientMetadata"), read("ClientSecret"), read("PreviousClientSecret"), x.quote(m.table.schema.Table), after, clientBatch,
		number("Generation"), number("EndedGeneration"))
	err = x.ask(func(scan func(...any) error) error {
		var client examinedClient
		var metadata string
		if err := scan(&client.ClientID, &client.LongClientID, &client.ClientSource, &client.RegistrationAccessToken, &metadata, &client.ClientSecret, &client.PreviousClientSecret, &client.Generation, &client.EndedGeneration); err != nil {
			return err
		}
		_ = client.ClientMetadata.Scan(metadata)
		client.ignored, client.unreadable = models.IgnoredClientMetadata([]byte(metadata))
		clients = append(clients, client)
		return nil
	}, statement, last)
	return clients, err
}
