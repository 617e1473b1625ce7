package gormstore

import (
	"context"

	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// mark is the generation in the row of a client or a user whose grants are ended.
type mark struct {
	table *Table
	row   clause.Expression
	// current is the field with the generation, and ended the field with the generation
	// before which everything has been revoked.
	current, ended string
	generation     int64
}

// raise begins a new generation in the row of the selection's client or user, and
// restricts the selection to what was issued before it. It returns nil if there is no such
// row.
func (t *Table) raise(ctx context.Context, s *selection) (*mark, error) {
	m := t.markOf(*s)
	if m == nil {
		return nil, nil
	}
	if err := m.table.do(ctx, step{several: true}, func(tx *tx) error { return m.raise(tx, nil) }); err != nil || m.generation == 0 {
		return nil, err
	}
	if s.clientID != "" {
		s.clientBefore = m.generation
	} else {
		s.userBefore = m.generation
	}
	return m, nil
}

// markOf finds the row of the selection's client or user; nil if no store of the pool has
// it. On a handle with conditions, such as those of a tenant, only a client that matches the
// same conditions is marked, because only rows that match them are ended.
func (t *Table) markOf(s selection) *mark {
	conditions, known := t.conditions()
	if !known {
		return nil
	}
	if conditions != "" {
		clients := t.ofKin(func(f *family) map[string]*Table { return f.clients })
		if s.clientID == "" || len(clients) != 1 {
			return nil
		}
		return clients[0].markIn(s.clientID)
	}
	if s.clientID != "" {
		clients := t.only(func(r *relatives) map[string]*Table { return r.clients })
		if clients == nil {
			return nil
		}
		return clients.clientMark(s.clientID)
	}
	users := t.only(func(r *relatives) map[string]*Table { return r.users })
	if users == nil {
		return nil
	}
	row, err := users.theirs(context.Background(), s.userID)
	if err != nil { // not a possible user id
		return nil // their rows are looked for all the same
	}
	return &mark{table: users, row: row, current: "GrantGeneration", ended: "EndedGrantGeneration"}
}

// clientMark returns the mark of a client in this table, regardless of the conditions of
// its handle.
func (t *Table) clientMark(clientID string) *mark {
	return t.withoutConditions().markIn(clientID)
}

// markIn returns the mark of a client that matches the conditions of the handle.
func (t *Table) markIn(clientID string) *mark {
	return &mark{table: t, row: t.is("ClientID", models.ClientKey(clientID)), current: "Generation", ended: "EndedGeneration"}
}

// raise raises the generation and sets further values in the row. m.generation is 0 if
// there is no such row, or the conditions exclude it.
func (m *mark) raise(tx *tx, values map[string]any, conditions ...clause.Expression) error {
	m.generation = 0
	tx = tx.withoutHooks()
	rows, err := tx.list(append(conditions, m.row), locked)
	if err != nil || len(rows) == 0 {
		return err
	}
	next := storage.GenerationOf(rows[0]) + 1
	all := map[string]any{m.current: next}
	for field, value := range values {
		all[field] = value
	}
	if _, err := tx.update(all, m.row); err != nil {
		return err
	}
	m.generation = next
	return nil
}

// done records that everything issued before the mark has ended. It does nothing if m is
// nil.
func (m *mark) done(tx *tx) error {
	if m == nil {
		return nil
	}
	_, err := tx.on(m.table).withoutHooks().update(map[string]any{m.ended: m.generation}, m.row,
		clause.Lt{Column: column(m.table.column(m.ended)), Value: m.generation})
	return err
}
