package gormstore

import (
	"fmt"
	"strings"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

const (
	// clientBatch is how many clients are read at once.
	clientBatch = 500
	// clientBatches is how often some are read: of a larger table the first are looked at.
	clientBatches = 10
	// namedFaults is how many faults are named.
	namedFaults = 5
)

// examineClients finds clients with addresses or names that no client may have: rows that
// are older than those rules, or that came from somewhere else.
func (x *examination) examineClients(m *examinedModel, t *table) {
	names := m.columns["ClientMixin"]
	if id, metadata := names["ClientID"], names["ClientMetadata"]; id == "" || !t.hasColumns([]string{id, metadata}) {
		return
	}
	where := "table " + m.store.schema.Table
	var named []string
	faulty, last := 0, ""
	for range clientBatches {
		clients, err := x.clientsAfter(m, t, last)
		if err != nil {
			x.unseen(where, err)
			return
		}
		for i := range clients {
			faults := server.ClientFaults(&clients[i], x.privateUse)
			if len(faults) == 0 {
				continue
			}
			faulty++
			for _, fault := range faults {
				named = append(named, fmt.Sprintf("%q: %s", clients[i].GetClientID(), fault))
			}
		}
		if len(clients) < clientBatch {
			break
		}
		last = clients[len(clients)-1].ClientID
	}
	if faulty == 0 {
		return
	}
	if len(named) > namedFaults {
		named = append(named[:namedFaults], "and others")
	}
	x.find(server.Finding{
		Check: "client_metadata", Severity: server.Warning, Where: where,
		Problem:     fmt.Sprintf("has addresses or names that no client may have, in %d of its rows: %s", faulty, strings.Join(named, "; ")),
		Consequence: "those addresses are never used, and those names are shown without what cannot be seen",
		Remedy:      "correct the column " + names["ClientMetadata"] + " of those rows, or delete the clients",
	})
}

// clientsAfter returns the next clients in the order of their ids, as far as they are
// examined. One whose metadata cannot be read has none.
func (x *examination) clientsAfter(m *examinedModel, t *table, last string) (clients []models.ClientMixin, err error) {
	names, id := m.columns["ClientMixin"], x.quote(m.columns["ClientMixin"]["ClientID"])
	read := func(name string) string { // of a table that is not migrated yet
		if column := names[name]; t.hasColumns([]string{column}) {
			return "COALESCE(" + x.quote(column) + ", '')"
		}
		return "''"
	}
	after := "?"
	if x.db.Name() == "postgres" {
		after = "$1"
	}
	statement := fmt.Sprintf("SELECT %[1]s, %[2]s, %[3]s, %[4]s, %[5]s FROM %[6]s WHERE %[1]s > %[7]s ORDER BY %[1]s LIMIT %[8]d",
		id, read("LongClientID"), read("ClientSource"), read("RegistrationAccessToken"), read("ClientMetadata"), x.quote(m.store.schema.Table), after, clientBatch)
	err = x.ask(func(scan func(...any) error) error {
		var client models.ClientMixin
		var metadata string
		if err := scan(&client.ClientID, &client.LongClientID, &client.ClientSource, &client.RegistrationAccessToken, &metadata); err != nil {
			return err
		}
		_ = client.ClientMetadata.Scan(metadata)
		clients = append(clients, client)
		return nil
	}, statement, last)
	return clients, err
}
