package gormstore

import (
	"context"

	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// mark is the generation in the row of a client or a user whose grants end.
type mark struct {
	table *Table
	row   clause.Expression
	// current and ended are the fields of the generation, and of that before which all has
	// been revoked.
	current, ended string
	generation     int64
}

// raise begins a new generation in the row of the client or the user of a selection, which
// is then about what was issued before it. It returns nil where there is no such row.
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

// markOf finds where the row of the client or the user of a selection is, nil where the pool
// does not say. On a handle with conditions, such as that of one tenant, a client is one of
// its own: what others have is not ended either.
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
	if err != nil { // an id that no user can have
		return nil // what is theirs is looked for all the same
	}
	return &mark{table: users, row: row, current: "GrantGeneration", ended: "EndedGrantGeneration"}
}

// clientMark is the mark of a client in this table, whatever the conditions of its handle.
func (t *Table) clientMark(clientID string) *mark {
	return t.withoutConditions().markIn(clientID)
}

// markIn is that of one that the conditions of the handle name.
func (t *Table) markIn(clientID string) *mark {
	return &mark{table: t, row: t.is("ClientID", models.ClientKey(clientID)), current: "Generation", ended: "EndedGeneration"}
}

// raise raises the generation, and sets what else is to be in the row. Of a row that is not
// there, or that the conditions leave out, the generation stays 0.
func (m *mark) raise(tx *tx, values map[string]any, conditions ...clause.Expression) error {
	m.generation = 0
	tx = tx.withoutHooks()
	rows, err := tx.list(append(conditions, m.row), locked)
	if err != nil || len(rows) == 0 {
		return err
	}
	next := server.GenerationOf(rows[0]) + 1
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

// done notes that everything has ended that was issued before the mark, if there is one.
func (m *mark) done(tx *tx) error {
	if m == nil {
		return nil
	}
	_, err := tx.on(m.table).withoutHooks().update(map[string]any{m.ended: m.generation}, m.row,
		clause.Lt{Column: column(m.table.column(m.ended)), Value: m.generation})
	return err
}
