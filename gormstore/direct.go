package gormstore

import (
	"context"
	"database/sql/driver"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

// Every request finds rows by a key and inserts some, and GORM takes longer to build such a
// statement and to scan its row than SQLite takes to answer it. So GORM builds each of these
// statements once, and from then on the library sends it and scans its row itself (see
// lookup, insertion and change). The text of the statement, its arguments, its transaction and the
// entry of the logger are those of GORM. GORM still does everything if a callback, hook,
// scope, clause or type of the program's takes part (see plain).

// maxStatements is the maximum number of statements of one kind that a table keeps. Its
// store has a few.
const maxStatements = 16

// direct has the statements of a table that GORM has built.
type direct struct {
	lookups    statements[*lookup]
	insertions statements[*insertion]
	changes    statements[*change]
}

// statements are those of one kind. The zero value is ready.
type statements[S any] struct {
	mu    sync.Mutex
	known atomic.Pointer[known[S]]
}

// known is replaced as a whole.
type known[S any] struct {
	callbacks reflect.Value // with which it was made
	builders  uintptr       // of clauses, with which it was made
	examined  bool          // plain has been found out; it is true before
	plain     bool
	all       []S
}

// isMadeWith compares slices: the one that is kept is not freed, so no other has its address.
func (k *known[S]) isMadeWith(callbacks reflect.Value, builders uintptr) bool {
	return k.callbacks.Pointer() == callbacks.Pointer() && k.builders == builders
}

// of returns the statements that are known. If plain is false, GORM has to do everything.
func (s *statements[S]) of(db *gorm.DB, processor any) (all []S, plain bool) {
	k := s.known.Load()
	if k == nil || !k.isMadeWith(callbacksOf(processor), sumOf(db.ClauseBuilders)) {
		return nil, true
	}
	return k.all, k.plain
}

// add builds a statement and keeps it. ok is false if GORM has to do it. GORM also does the
// first, because many tables are made for one statement, such as those of the relatives.
func (s *statements[S]) add(db *gorm.DB, processor any, plain func() bool, build func() S) (built S, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, current, builders := s.known.Load(), callbacksOf(processor), sumOf(db.ClauseBuilders)
	if k == nil || !k.isMadeWith(current, builders) {
		s.known.Store(&known[S]{callbacks: current.Slice(0, current.Len()), builders: builders, plain: true})
		return built, false
	}
	next := *k
	if !next.examined {
		next.examined, next.plain = true, hasOwnCallbacks(processor) && plain()
	}
	if ok = next.plain && len(next.all) < maxStatements; ok {
		built = build()
		next.all = append(slices.Clone(next.all), built)
	}
	s.known.Store(&next)
	return built, ok
}

// callbacksOf returns the callbacks of one of GORM's processors. They are another slice as
// soon as the program registers a callback, replaces one or removes one.
func callbacksOf(processor any) reflect.Value {
	if callbacks := reflect.ValueOf(processor).Elem().FieldByName("fns"); callbacks.Kind() == reflect.Slice {
		return callbacks
	}
	return reflect.ValueOf([]any{}) // another version of GORM; hasOwnCallbacks is false
}

// sumOf returns what changes when the program adds a builder of a clause, or replaces one.
func sumOf(builders map[string]clause.ClauseBuilder) (sum uintptr) {
	for _, builder := range builders {
		sum += reflect.ValueOf(builder).Pointer()
	}
	return sum
}

// hasOwnCallbacks reports whether all callbacks of one of GORM's processors are GORM's own.
func hasOwnCallbacks(processor any) bool {
	p := reflect.ValueOf(processor).Elem()
	all := p.FieldByName("callbacks")
	if p.FieldByName("fns").Kind() != reflect.Slice || all.Kind() != reflect.Slice || all.Len() == 0 {
		return false
	}
	for i := range all.Len() {
		handler := all.Index(i).Elem().FieldByName("handler")
		if handler.Kind() != reflect.Func || !isFunctionOf("gorm.io/gorm/callbacks", handler) {
			return false
		}
	}
	return true
}

// isDrivers reports whether the dialector and all builders of clauses are of a driver that is
// known to write the same statement every time. Those of the program's own may look at the
// context.
func isDrivers(db *gorm.DB) bool {
	dialector := reflect.TypeOf(db.Dialector)
	if dialector.Kind() == reflect.Pointer {
		dialector = dialector.Elem()
	}
	pkg := dialector.PkgPath()
	if !strings.HasPrefix(pkg, "gorm.io/driver/") && pkg != "github.com/glebarez/sqlite" {
		return false
	}
	for _, builder := range db.ClauseBuilders {
		if !isFunctionOf(pkg, reflect.ValueOf(builder)) {
			return false
		}
	}
	return true
}

func isFunctionOf(pkg string, f reflect.Value) bool {
	of := runtime.FuncForPC(f.Pointer())
	return of != nil && strings.HasPrefix(of.Name(), pkg+".")
}

// plain reports whether the handle adds nothing to a statement but conditions that are
// always the same, and neither the handle nor the model does anything when a statement is
// built.
func (t *Table) plain() bool {
	if reflect.PointerTo(t.schema.ModelType).Implements(reflect.TypeFor[gorm.StatementModifier]()) {
		return false
	}
	if !isDrivers(t.db) || differs(reflect.ValueOf(t.db.Statement).Elem(), "Clauses") {
		return false
	}
	for name, c := range t.db.Statement.Clauses {
		own, ok := c.Expression.(clause.Where)
		if !ok || name != "WHERE" || !areConstant(own.Exprs) {
			return false
		}
	}
	return true
}

func areConstant(all []clause.Expression) bool {
	return !slices.ContainsFunc(all, func(e clause.Expression) bool { return !isConstant(e) })
}

// isConstant reports whether a condition is the same in every statement.
func isConstant(e clause.Expression) bool {
	switch e := e.(type) {
	case clause.Expr:
		return !slices.ContainsFunc(e.Vars, func(v any) bool { return !isBindable(v) })
	case clause.Eq:
		return isName(e.Column) && isBindable(e.Value) && !isValuer(e.Value)
	case clause.Neq:
		return isConstant(clause.Eq(e))
	case clause.AndConditions:
		return areConstant(e.Exprs)
	case clause.OrConditions:
		return areConstant(e.Exprs)
	case clause.NotConditions:
		return areConstant(e.Exprs)
	}
	return false
}

// isName reports whether the column of a condition is just a name.
func isName(column any) bool {
	switch column.(type) {
	case string, clause.Column:
		return true
	}
	return false
}

// isValuer reports whether a value is computed for each statement. If it is NULL once, the
// condition is another one.
func isValuer(value any) bool {
	_, ok := value.(driver.Valuer)
	return ok
}

// isBindable reports whether a value is exactly one argument of a statement, and not NULL,
// for which a condition would be another one.
func isBindable(value any) bool {
	switch v := value.(type) {
	case nil, gorm.Valuer, clause.Expression:
		return false
	case string, int, int64, uint, bool, time.Time:
		return true
	case driver.Valuer:
		if reflect.ValueOf(v).Kind() == reflect.Pointer {
			return false
		}
		bound, err := v.Value()
		return err == nil && bound != nil
	}
	kind := reflect.TypeOf(value).Kind()
	return kind == reflect.String || reflect.Int <= kind && kind <= reflect.Uint64
}

// placeholder stands for a value while GORM builds a statement.
type placeholder int

// Value makes GORM treat it as a value.
func (p placeholder) Value() (driver.Value, error) { return int64(p), nil }

// sent is a statement that the library sends itself.
type sent struct {
	db     *gorm.DB
	logger logger.Interface
	pool   gorm.ConnPool
	query  string
	args   []any
}

// row sends the statement and scans its row, if it returns one.
func (s *sent) row(ctx context.Context, scan *scans, into reflect.Value) (rows int64, err error) {
	begin := time.Now()
	rows, err = s.scan(ctx, scan, into)
	return s.ended(ctx, begin, rows, err)
}

// exec sends the statement, and returns how many rows it changed.
func (s *sent) exec(ctx context.Context) (rows int64, err error) {
	begin := time.Now()
	result, err := s.pool.ExecContext(ctx, s.query, s.args...)
	if err == nil {
		rows, _ = result.RowsAffected() // as GORM does
	}
	return s.ended(ctx, begin, rows, err)
}

// ended translates the error and tells the logger, as GORM does.
func (s *sent) ended(ctx context.Context, begin time.Time, rows int64, err error) (int64, error) {
	if translator, ok := s.db.Dialector.(gorm.ErrorTranslator); ok && err != nil && s.db.TranslateError {
		err = translator.Translate(err)
	}
	s.logger.Trace(ctx, begin, func() (string, int64) {
		query, args := s.query, s.args
		if filter, ok := s.logger.(gorm.ParamsFilter); ok {
			query, args = filter.ParamsFilter(ctx, query, args...)
		}
		return s.db.Explain(query, args...), rows
	}, err)
	return rows, err
}

func (s *sent) scan(ctx context.Context, scan *scans, into reflect.Value) (count int64, err error) {
	rows, err := s.pool.QueryContext(ctx, s.query, s.args...)
	if err != nil {
		return 0, err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	if rows.Next() {
		columns, err := rows.Columns()
		if err != nil {
			return 0, err
		}
		if err := scan.of(columns).into(ctx, rows, into); err != nil {
			return 1, err
		}
		count = 1
	}
	return count, rows.Err()
}
