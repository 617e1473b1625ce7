package gormstore

import (
	"context"
	"database/sql"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"gorm.io/gorm/schema"
)

// scans says how the rows of a statement are scanned. The columns change with the table.
type scans struct {
	schema *schema.Schema
	last   atomic.Pointer[rowScan]
}

func (s *scans) of(columns []string) *rowScan {
	if last := s.last.Load(); last != nil && slices.Equal(last.columns, columns) {
		return last
	}
	made := newRowScan(s.schema, columns)
	s.last.Store(made)
	return made
}

// rowScan says where the columns of a row belong in the program's model.
type rowScan struct {
	columns []string
	fields  []*schema.Field // nil for a column that the model does not have
	basic   []bool          // the field is scanned by a cell, and not by GORM
	targets sync.Pool       // of *targets
}

// targets are what a row is scanned into.
type targets struct {
	cells []cell
	into  []any // a pointer to a cell, or what GORM scans into
}

func newRowScan(of *schema.Schema, columns []string) *rowScan {
	s := &rowScan{columns: slices.Clone(columns), fields: make([]*schema.Field, len(columns)), basic: make([]bool, len(columns))}
	s.targets.New = func() any { return &targets{make([]cell, len(columns)), make([]any, len(columns))} }
	for i, name := range columns {
		if field := of.LookUpField(name); field != nil && field.Readable {
			s.fields[i], s.basic[i] = field, isBasic(field)
		}
	}
	return s
}

// isBasic reports whether cell.Scan knows the type of a field.
func isBasic(field *schema.Field) bool {
	if field.Serializer != nil {
		return false
	}
	switch reflect.New(field.FieldType).Interface().(type) {
	case *string, *int64, *int, *uint, *bool, **string:
		return true
	}
	return false
}

// into scans the current row.
func (s *rowScan) into(ctx context.Context, rows *sql.Rows, row reflect.Value) error {
	t := s.targets.Get().(*targets)
	defer s.targets.Put(t)
	defer clear(t.into)
	defer clear(t.cells)
	for i, field := range s.fields {
		switch {
		case field != nil && !s.basic[i]:
			t.into[i] = field.NewValuePool.Get()
			continue
		case field != nil:
			t.cells[i].field = field.ReflectValueOf(ctx, row).Addr().Interface()
		}
		t.into[i] = &t.cells[i]
	}
	if err := rows.Scan(t.into...); err != nil {
		return err
	}
	for i, field := range s.fields {
		if field != nil && !s.basic[i] {
			err := field.Set(ctx, row, t.into[i])
			field.NewValuePool.Put(t.into[i])
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// cell scans a column into a field. It leaves the field as it is for NULL, as GORM does.
type cell struct {
	field any // a pointer to it; nil if the column is ignored
}

// Scan is of [sql.Scanner].
func (c *cell) Scan(value any) error {
	if value == nil {
		return nil
	}
	switch field := c.field.(type) {
	case *string:
		return scanValue(field, value)
	case *int64:
		return scanValue(field, value)
	case *int:
		return scanValue(field, value)
	case *uint:
		return scanValue(field, value)
	case *bool:
		return scanValue(field, value)
	case **string:
		*field = new(string)
		return scanValue(*field, value)
	}
	return nil
}

// scanValue converts a value as [sql.Rows.Scan] does.
func scanValue[V any](field *V, value any) error {
	if same, ok := value.(V); ok {
		*field = same
		return nil
	}
	var converted sql.Null[V]
	err := converted.Scan(value)
	*field = converted.V
	return err
}
