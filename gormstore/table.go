package gormstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormoauth/gormoauth/models"
)

// Table is the table of a model together with the model's description of it, which is all
// that is needed to spend, prune, erase and examine rows. The stores of this package are
// built on tables. Use [NewTable] for a model of the program's own.
type Table struct {
	db      *gorm.DB
	schema  *schema.Schema
	name    string // of the model, for messages
	about   models.Table
	columns columns
	userID  *userIDField  // if rows belong to users
	pool    *sql.DB       // nil if the handle is a transaction
	turn    chan struct{} // to write, see turnOf
	trail   *trail        // the audit trail; nil if there is none
	direct  *direct       // of db

	// alsoExpired returns a further condition for expired rows, besides the expiry column;
	// it may be nil.
	alsoExpired func(before time.Time) clause.Expression
	// keep is how long rows are kept after they have expired.
	keep time.Duration
}

// Described is a model that describes its table.
type Described interface {
	// DescribeTable describes the table.
	DescribeTable() models.Table
}

// TableModel is a pointer to a model that describes its table: a model that embeds a
// mixin, or one of the program's own.
type TableModel[M any] interface {
	*M
	Described
}

// NewTable returns the table of a model, or an error that says what is wrong with the
// model. Pass it to [Prune] and [Erase] to have its rows pruned, and erased with their
// users. When a grant exchanges a single-use row, [Tokens.Save] spends it (see
// [server.Credential]).
func NewTable[M any, P TableModel[M]](db *gorm.DB) (*Table, error) {
	return newTable(db, P(new(M)))
}

// Prunable has tables whose rows expire. It is implemented by *Table, and by every store
// whose rows expire.
type Prunable interface {
	// Pruned returns the tables from which [Prune] removes expired rows.
	Pruned() []*Table
}

// Erasable has tables whose rows belong to users. It is implemented by *Table, and by
// every store whose rows belong to users.
type Erasable interface {
	// Erased returns the tables from which [Erase] removes a user's data.
	Erased() []*Table
}

// Pruned returns the table itself.
func (t *Table) Pruned() []*Table { return []*Table{t} }

// Erased returns the table itself.
func (t *Table) Erased() []*Table { return []*Table{t} }

// newTable returns the table of a model that is read and written, or an error that says
// what is wrong with the handle and the model.
func newTable(db *gorm.DB, model Described) (*Table, error) {
	t, err := openTable(db, model)
	if t == nil {
		return nil, err
	}
	faults := []error{err, t.needsPlainTable(), t.describe(model), t.checkKey()}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	t.relate()
	return t, nil
}

// openTable is newTable for a model that is only read, and need not describe itself.
func openTable(db *gorm.DB, model any) (*Table, error) {
	db, handleErr := handle(db)
	if db == nil {
		return nil, handleErr
	}
	if handleErr != nil {
		t, err := parse(db, model)
		return t, errors.Join(handleErr, err)
	}
	return parse(keeping(db), model)
}

// parse returns the table of a model on a handle that has been checked.
func parse(db *gorm.DB, model any) (*Table, error) {
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(model); err != nil {
		return nil, fmt.Errorf("gormstore: %T: %w", model, err)
	}
	pool, _ := db.DB() // nil for a handle that is a transaction
	return &Table{db: db, schema: stmt.Schema, name: stmt.Schema.ModelType.String(), pool: pool, turn: turnOf(db), trail: trailOf(db), direct: new(direct)}, nil
}

// columns maps the names of Go fields to the names of their columns.
type columns map[string]string

// mixins are all mixins that a model may embed. Each describes its table.
var mixins = []Described{
	&models.ClientMixin{}, &models.TokenMixin{}, &models.AuthorizationCodeMixin{}, &models.DeviceCodeMixin{}, &models.ConsentMixin{},
	&models.SessionMixin{}, &models.LogoutMixin{}, &models.PushedRequestMixin{}, &models.SigningKeyMixin{}, &models.ReplayMixin{}, &models.AuditMixin{},
}

// describe stores the model's description of its table and finds its columns, which are
// those of the embedded mixin, or of all fields if the model embeds none. The error says
// what is wrong.
func (t *Table) describe(model Described) (err error) {
	t.about = model.DescribeTable()
	if mixin := t.mixin(); mixin != nil {
		t.columns, err = t.mixinColumns(mixin)
	} else {
		t.columns, err = t.ownColumns()
	}
	if t.about.OfUser {
		var userErr error
		t.userID, userErr = t.userIDColumn()
		err = errors.Join(err, userErr)
	}
	return err
}

// examine returns what the constructors would refuse about a model. It accepts any model
// that does not describe its table.
func (t *Table) examine() error {
	var embedded []string
	for _, mixin := range mixins {
		if of := reflect.TypeOf(mixin).Elem(); embeds(t.schema.ModelType, of) {
			embedded = append(embedded, "models."+of.Name())
		}
	}
	if len(embedded) > 1 {
		return t.fault("embeds %s; use a separate model for each", strings.Join(embedded, " and "))
	}
	described, ok := reflect.New(t.schema.ModelType).Interface().(Described)
	if !ok {
		return nil
	}
	return errors.Join(t.describe(described), t.checkKey())
}

// mixin returns the type of the mixin that the model embeds, by value or by pointer; nil
// if it embeds none.
func (t *Table) mixin() reflect.Type {
	for _, mixin := range mixins {
		if of := reflect.TypeOf(mixin).Elem(); embeds(t.schema.ModelType, of) {
			return of
		}
	}
	return nil
}

// embeds reports whether a struct embeds the mixin, by value or by pointer, whether GORM
// sees it or not.
func embeds(t, mixin reflect.Type) bool {
	return slices.Contains(embedded(t), mixin) || embedsPointer(t, mixin)
}

// embedsPointer reports whether a struct embeds a pointer to the mixin, at any depth.
// GORM would create its columns but never fill them.
func embedsPointer(t, mixin reflect.Type) bool {
	return slices.Contains(embedded(t), reflect.PointerTo(mixin))
}

var embeddedIn sync.Map // what embedded returns, by its argument

// embedded returns the types of the embedded fields of a struct, at any depth. It is asked for each
// model and mixin, and looking takes long.
func embedded(t reflect.Type) (types []reflect.Type) {
	if known, ok := embeddedIn.Load(t); ok {
		return known.([]reflect.Type)
	}
	for _, field := range reflect.VisibleFields(t) {
		if field.Anonymous {
			types = append(types, field.Type)
		}
	}
	embeddedIn.Store(t, types)
	return types
}

// mixinColumns returns the columns of a mixin in the model, or an error that says why the
// model does not have them.
func (t *Table) mixinColumns(mixin reflect.Type) (columns, error) {
	name := "models." + mixin.Name()
	if embedsPointer(t.schema.ModelType, mixin) {
		return nil, t.fault("embeds *%s; embed %s, without the star", name, name)
	}
	found := make(columns, mixin.NumField())
	for _, field := range reflect.VisibleFields(mixin) {
		if field.Anonymous {
			continue
		}
		own := t.mixinField(mixin.Name(), field.Name)
		if own == nil {
			return nil, t.fault("has no columns of %s; embed it by value, with the line %s, in the model or in an exported struct that the model embeds", name, name)
		}
		if other := t.schema.FieldsByDBName[own.DBName]; other != own {
			return nil, t.fault("declares a field %s that hides the column %q of %s; rename the field, or remove it and use the mixin's field", other.Name, own.DBName, name)
		}
		if want := columnOf(field); own.DBName != want {
			return nil, t.fault("has the column %q of %s as %q; remove embeddedPrefix from the tag of %s, or the column's own tag", want, name, own.DBName, name)
		}
		found[field.Name] = own.DBName
	}
	return found, nil
}

// columnOf returns the column name of a mixin's field.
func columnOf(field reflect.StructField) string {
	return schema.ParseTagSetting(field.Tag.Get("gorm"), ";")["COLUMN"]
}

// mixinField returns the field of the schema that comes from the mixin, or from a struct
// that the mixin embeds; nil if there is none.
func (t *Table) mixinField(mixin, field string) *schema.Field {
	for _, f := range t.schema.Fields {
		if n := len(f.BindNames); f.DBName != "" && f.BindNames[n-1] == field && slices.Contains(f.BindNames[:n-1], mixin) {
			return f
		}
	}
	return nil
}

// ownColumns returns the columns of a model without a mixin, or an error that says what
// is wrong with its description.
func (t *Table) ownColumns() (columns, error) {
	found := make(columns, len(t.schema.Fields))
	for _, field := range t.schema.Fields {
		if field.DBName != "" {
			found[field.Name] = field.DBName
		}
	}
	about, named := t.about, make(map[string]string)
	named["Key"], named["SpentAt"], named["ExpiresAt"], named["KeptAt"], named["GrantID"] = about.Key, about.SpentAt, about.ExpiresAt, about.KeptAt, about.GrantID
	named["ClientID"] = about.ClientID
	for i, field := range about.Digests {
		named[fmt.Sprintf("Digests[%d]", i)] = field
	}
	for list, fields := range map[string][]string{"Blank": about.Blank, "Unspent": about.Unspent, "JSONLists": about.JSONLists, "JSONObjects": about.JSONObjects} {
		for i, field := range fields {
			named[fmt.Sprintf("%s[%d]", list, i)] = field
		}
	}
	var faults []error
	for _, what := range slices.Sorted(maps.Keys(named)) {
		if field := named[what]; field != "" && found[field] == "" {
			faults = append(faults, t.fault("describes its table with %s: %q, which is not a column; use the name of a Go field", what, field))
		}
	}
	return found, errors.Join(faults...)
}

// checkKey refuses a model without a mixin whose rows cannot be identified. Call it only
// during construction, because GORM modifies the schema of a model when it parses indexes.
func (t *Table) checkKey() error {
	if t.columns == nil || t.mixin() != nil {
		return nil
	}
	name := t.about.Key
	switch key := t.schema.FieldsByName[name]; {
	case name == "":
		return t.fault("describes its table without a Key; set it to the field that identifies a row")
	case key == nil: // describe has reported it
		return nil
	case key.DataType != schema.String && key.FieldType.Kind() != reflect.String:
		return t.fault("has the Key %s of type %s; use a string field", name, key.FieldType)
	case !t.isUnique(key):
		return t.fault("has no unique index on %s, the Key of its table; add the tag `gorm:\"uniqueIndex\"`", name)
	}
	return nil
}

// isUnique reports whether no two rows can have the same value in a field.
func (t *Table) isUnique(field *schema.Field) bool {
	if field.Unique || field.PrimaryKey && len(t.schema.PrimaryFields) == 1 {
		return true
	}
	return slices.ContainsFunc(t.schema.ParseIndexes(), func(index *schema.Index) bool {
		return index.Class == "UNIQUE" && index.Where == "" && len(index.Fields) == 1 && index.Fields[0].Field == field
	})
}

func (t *Table) fault(format string, args ...any) error {
	return fmt.Errorf("gormstore: model %s "+format, append([]any{t.name}, args...)...)
}

// needsUserIndex refuses a model in which finding a user's rows would read the whole
// table.
func (t *Table) needsUserIndex() error {
	if t.userID.field.PrimaryKey || t.isIndexed(t.userID.field) {
		return nil
	}
	return t.fault("has no index on UserID, which finding a user's rows needs; add the tag `gorm:\"index\"`")
}

// isIndexed reports whether the model has an index that begins with the fields.
func (t *Table) isIndexed(fields ...*schema.Field) bool {
	return slices.ContainsFunc(t.schema.ParseIndexes(), func(index *schema.Index) bool {
		return len(index.Fields) >= len(fields) && !slices.ContainsFunc(fields, func(field *schema.Field) bool {
			return index.Fields[slices.Index(fields, field)].Field != field
		})
	})
}

// with returns the same table on another handle.
func (t *Table) with(db *gorm.DB) *Table {
	table := *t
	table.db, table.direct = db, new(direct)
	return &table
}

// newRow returns a pointer to a new row of the program's model.
func (t *Table) newRow() any { return reflect.New(t.schema.ModelType).Interface() }

// theirs returns the condition for the rows of a user.
func (t *Table) theirs(ctx context.Context, userID string) (clause.Expression, error) {
	if userID == "" {
		return nil, errors.New("gormstore: the user id is empty")
	}
	row := reflect.New(t.schema.ModelType)
	if err := t.userID.set(row.Interface(), userID); err != nil {
		return nil, err
	}
	value, _ := t.userID.field.ValueOf(ctx, row.Elem())
	return eq(t.userID.field.DBName, value), nil
}

// nobody returns the value of the column UserID for no user.
func (t *Table) nobody() any {
	value, _ := t.userID.field.ValueOf(context.Background(), reflect.New(t.schema.ModelType).Elem())
	return value
}

// is returns the condition that a field of the model has the value; nil means NULL.
func (t *Table) is(field string, value any) clause.Expression { return eq(t.column(field), value) }

// isZero returns the condition that a time is not set: 0, or NULL, which the table of an
// older program may have instead.
func (t *Table) isZero(field string) clause.Expression {
	return clause.Or(t.is(field, 0), t.is(field, nil))
}

// isNot returns the condition that a field of the model has a different value.
func (t *Table) isNot(field string, value any) clause.Expression { return neq(t.column(field), value) }

// column returns the name of the column of a field that the description of the table or
// its store uses.
func (t *Table) column(field string) string {
	name, ok := t.columns[field]
	if field == "UserID" && t.userID != nil {
		name, ok = t.userID.field.DBName, true
	}
	if !ok {
		panic(fmt.Sprintf("gormstore: %s has no field %s", t.name, field)) // a bug in this package
	}
	return name
}

// values replaces the names of fields by the names of their columns.
func (t *Table) values(byField map[string]any) map[string]any {
	byColumn := make(map[string]any, len(byField))
	for field, value := range byField {
		byColumn[t.column(field)] = value
	}
	return byColumn
}

// conn returns the handle for one call: the table's own handle, with its conditions and
// plugins, in the caller's transaction if there is one.
func (t *Table) conn(ctx context.Context) *gorm.DB {
	return t.joined(ctx, t.db.WithContext(ctx))
}

// primary returns the handle for one query, which dbresolver sends to the primary,
// because a replica may lag behind a write that a client already knows of. Every request
// reads, so the handle is copied only once, whereas with conn the next call copies it
// again.
func (t *Table) primary(ctx context.Context) *gorm.DB {
	db := t.db.Set("gorm:db_resolver:write", struct{}{})
	db.Statement.Context = ctx
	return t.joined(ctx, db)
}

// bare returns the handle for one query of the primary without the handle's own
// conditions.
func (t *Table) bare(ctx context.Context) *gorm.DB {
	return t.joined(ctx, unconditional(t.db.WithContext(ctx)).Set("gorm:db_resolver:write", struct{}{}))
}

// find loads the row that matches the conditions, and reports whether there is one. It
// logs nothing if there is none. A row that the database returned although its values
// differ from the conditions does not count.
func (t *Table) find(ctx context.Context, into any, conditions ...clause.Expression) (found bool, err error) {
	tries := newTries(ctx)
	defer tries.stop()
	for tries.next() {
		if l := t.lookup(conditions); l != nil {
			found, err = l.find(tries.ctx, t, into, conditions)
		} else {
			found, err = t.load(t.primary(tries.ctx), into, conditions...)
		}
		tries.ended(err)
	}
	return found, tries.err
}

// load is a single attempt of find on a handle.
func (t *Table) load(db *gorm.DB, into any, conditions ...clause.Expression) (found bool, err error) {
	result := where(db, conditions...).Limit(1).Find(into)
	if result.Error != nil || result.RowsAffected != 1 {
		return false, result.Error
	}
	return t.holds(result.Statement.Context, reflect.ValueOf(into).Elem(), conditions...), nil
}

// list loads the rows that match the conditions, each as a pointer to the program's
// model. more are further clauses, such as the order and the limit.
func (t *Table) list(ctx context.Context, conditions []clause.Expression, more ...clause.Expression) (rows []any, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		rows, _, err = t.loadAll(t.primary(ctx), conditions, more...)
		return err
	})
	return rows, err
}

// loadAll is a single attempt of list on a handle. read counts all rows that the database returned,
// also those whose values differ from the conditions.
func (t *Table) loadAll(db *gorm.DB, conditions []clause.Expression, more ...clause.Expression) (rows []any, read int, err error) {
	if len(conditions) > 0 {
		db = where(db, conditions...)
	}
	all := reflect.New(reflect.SliceOf(t.schema.ModelType))
	result := db.Clauses(more...).Find(all.Interface())
	for i := range all.Elem().Len() {
		if row := all.Elem().Index(i); t.holds(result.Statement.Context, row, conditions...) {
			rows = append(rows, row.Addr().Interface())
		}
	}
	return rows, all.Elem().Len(), result.Error
}

// single returns a handle for one statement, without GORM's default transaction unless
// the model has hooks, which may write, too.
func single(db *gorm.DB, hooks bool) *gorm.DB {
	if hooks {
		return db
	}
	return db.Session(&gorm.Session{SkipDefaultTransaction: true})
}

// hasHooks reports whether the model has GORM hooks that run on writes.
func (t *Table) hasHooks() bool { return t.hooksOnCreate() || t.hooksOnUpdate() || t.hooksOnDelete() }

func (t *Table) hooksOnCreate() bool {
	return t.schema.BeforeCreate || t.schema.AfterCreate || t.schema.BeforeSave || t.schema.AfterSave
}

func (t *Table) hooksOnUpdate() bool {
	return t.schema.BeforeUpdate || t.schema.AfterUpdate || t.schema.BeforeSave || t.schema.AfterSave
}

func (t *Table) hooksOnDelete() bool { return t.schema.BeforeDelete || t.schema.AfterDelete }

// column returns a column of the model's own table.
func column(name string) clause.Column { return clause.Column{Table: clause.CurrentTable, Name: name} }

func eq(name string, value any) clause.Expression {
	return clause.Eq{Column: column(name), Value: value}
}

func neq(name string, value any) clause.Expression {
	return clause.Neq{Column: column(name), Value: value}
}
