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
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormoauth/gormoauth/models"
)

// Table is the table of a model, with what the model says of it: what spends, prunes,
// erases and examines rows works on tables, and asks for nothing else. The stores of this
// package are made of tables. [NewTable] is for a model of the program's own.
type Table struct {
	db      *gorm.DB
	schema  *schema.Schema
	name    string // the model's, for messages
	about   models.Table
	columns columns
	userID  *userIDField  // where rows belong to users
	pool    *sql.DB       // nil where the handle is a transaction
	turn    chan struct{} // to write, see turnOf
	trail   *trail        // of what is done, nil where none is kept

	// alsoExpired is what expired means beside the column, nil is nothing.
	alsoExpired func(before time.Time) clause.Expression
	// keep is how long rows stay after they expired.
	keep time.Duration
}

// Described is a model that describes its table.
type Described interface {
	// DescribeTable describes the table.
	DescribeTable() models.Table
}

// TableModel is a pointer to a model that describes its table: one that embeds a mixin,
// or one of the program's own.
type TableModel[M any] interface {
	*M
	Described
}

// NewTable returns the table of a model, or what is wrong with the model. It is pruned,
// and erased with its users, when it is handed to [Prune] and [Erase]. A row that is
// single use is spent by [Tokens.Save] when a grant exchanges it, see
// [server.Credential].
func NewTable[M any, P TableModel[M]](db *gorm.DB) (*Table, error) {
	return newTable(db, P(new(M)))
}

// Prunable has tables whose rows expire. A *Table is one, and so is every store whose
// rows do.
type Prunable interface {
	// Pruned returns the tables of which [Prune] removes rows that have expired.
	Pruned() []*Table
}

// Erasable has tables whose rows belong to users. A *Table is one, and so is every store
// whose rows do.
type Erasable interface {
	// Erased returns the tables of which [Erase] takes what is a user's.
	Erased() []*Table
}

// Pruned returns the table itself.
func (t *Table) Pruned() []*Table { return []*Table{t} }

// Erased returns the table itself.
func (t *Table) Erased() []*Table { return []*Table{t} }

// newTable returns the table of a model that is read and written, or what is wrong with
// the program's handle and the model.
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

// parse returns the table of a model on a handle that was found in order.
func parse(db *gorm.DB, model any) (*Table, error) {
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(model); err != nil {
		return nil, fmt.Errorf("gormstore: %T: %w", model, err)
	}
	pool, _ := db.DB() // of a handle that is a transaction there is none
	return &Table{db: db, schema: stmt.Schema, name: stmt.Schema.ModelType.String(), pool: pool, turn: turnOf(db), trail: trailOf(db)}, nil
}

// columns are the names of columns by the names of the Go fields.
type columns map[string]string

// mixins are all that a model may embed. Each describes its table.
var mixins = []Described{
	&models.ClientMixin{}, &models.TokenMixin{}, &models.AuthorizationCodeMixin{}, &models.DeviceCodeMixin{}, &models.ConsentMixin{},
	&models.SessionMixin{}, &models.LogoutMixin{}, &models.PushedRequestMixin{}, &models.SigningKeyMixin{}, &models.ReplayMixin{}, &models.AuditMixin{},
}

// describe notes what a model says of its table, and finds the columns that it names,
// or says what is wrong. The columns are those of the mixin that the model embeds, or of
// all fields of one that embeds none.
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

// examine says what the constructors would refuse of a model that need not be one of
// theirs: a model that does not describe its table has nothing that could be wrong.
func (t *Table) examine() error {
	var embedded []string
	for _, mixin := range mixins {
		if of := reflect.TypeOf(mixin).Elem(); embeds(t.schema.ModelType, of) {
			embedded = append(embedded, "models."+of.Name())
		}
	}
	if len(embedded) > 1 {
		return t.fault("embeds %s; give each a model of its own", strings.Join(embedded, " and "))
	}
	described, ok := reflect.New(t.schema.ModelType).Interface().(Described)
	if !ok {
		return nil
	}
	return errors.Join(t.describe(described), t.checkKey())
}

// mixin returns the type of the mixin that the model embeds, by value or not; nil for a
// model of the program's own.
func (t *Table) mixin() reflect.Type {
	for _, mixin := range mixins {
		if of := reflect.TypeOf(mixin).Elem(); embeds(t.schema.ModelType, of) {
			return of
		}
	}
	return nil
}

// embeds reports whether a struct embeds the mixin, by value or not, so that GORM
// sees it or not.
func embeds(t, mixin reflect.Type) bool {
	return slices.ContainsFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool {
		return f.Anonymous && (f.Type == mixin || f.Type == reflect.PointerTo(mixin))
	})
}

// embedsPointer reports whether a struct embeds a pointer to the mixin, at any
// depth. GORM would create its columns and never fill them.
func embedsPointer(t, mixin reflect.Type) bool {
	return slices.ContainsFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool {
		return f.Anonymous && f.Type == reflect.PointerTo(mixin)
	})
}

// mixinColumns finds the columns of a mixin in the model, or says what keeps
// the model from having them.
func (t *Table) mixinColumns(mixin reflect.Type) (columns, error) {
	name := "models." + mixin.Name()
	if embedsPointer(t.schema.ModelType, mixin) {
		return nil, t.fault("embeds *%s; write %s, without the star", name, name)
	}
	found := make(columns, mixin.NumField())
	for _, field := range reflect.VisibleFields(mixin) {
		if field.Anonymous {
			continue
		}
		own := t.mixinField(mixin.Name(), field.Name)
		if own == nil {
			return nil, t.fault("has no columns of %s; embed it by value, as a line that reads %s, in the model or in an exported struct that the model embeds", name, name)
		}
		if other := t.schema.FieldsByDBName[own.DBName]; other != own {
			return nil, t.fault("declares a field %s that hides the column %q of %s; rename the field, or remove it and use the mixin's", other.Name, own.DBName, name)
		}
		if want := columnOf(field); own.DBName != want {
			return nil, t.fault("has the column %q of %s as %q; remove embeddedPrefix from the tag of %s, or the column's own tag", want, name, own.DBName, name)
		}
		found[field.Name] = own.DBName
	}
	return found, nil
}

// columnOf returns the name that a mixin's field gives to its column.
func columnOf(field reflect.StructField) string {
	return schema.ParseTagSetting(field.Tag.Get("gorm"), ";")["COLUMN"]
}

// mixinField returns the field of the schema that stems from the mixin, or from a struct
// that the mixin embeds.
func (t *Table) mixinField(mixin, field string) *schema.Field {
	for _, f := range t.schema.Fields {
		if n := len(f.BindNames); f.DBName != "" && f.BindNames[n-1] == field && slices.Contains(f.BindNames[:n-1], mixin) {
			return f
		}
	}
	return nil
}

// ownColumns finds the columns of a model of the program's own, or says what its
// description has wrong.
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
			faults = append(faults, t.fault("describes its table with %s: %q, which is no column; write the name of a Go field", what, field))
		}
	}
	return found, errors.Join(faults...)
}

// checkKey refuses a model of the program's own whose rows cannot be told apart. It is for
// construction alone: GORM writes to what it knows of a model when it is asked for indexes.
func (t *Table) checkKey() error {
	if t.columns == nil || t.mixin() != nil {
		return nil
	}
	name := t.about.Key
	switch key := t.schema.FieldsByName[name]; {
	case name == "":
		return t.fault("describes its table without a Key; name the field by which a row is found")
	case key == nil: // which describe has said
		return nil
	case key.DataType != schema.String && key.FieldType.Kind() != reflect.String:
		return t.fault("has the Key %s of type %s; name a field that is text", name, key.FieldType)
	case !t.isUnique(key):
		return t.fault("has no unique index on %s, the Key of its table; add the tag `gorm:\"uniqueIndex\"`", name)
	}
	return nil
}

// isUnique reports whether no two rows have the same value of a field.
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

// needsUserIndex refuses a model in which a user's rows could not be found without
// reading all.
func (t *Table) needsUserIndex() error {
	if t.userID.field.PrimaryKey || t.isIndexed(t.userID.field) {
		return nil
	}
	return t.fault("has no index on UserID, by which a user's rows are found; add the tag `gorm:\"index\"`")
}

// isIndexed reports whether the model has an index that begins with the fields.
func (t *Table) isIndexed(fields ...*schema.Field) bool {
	return slices.ContainsFunc(t.schema.ParseIndexes(), func(index *schema.Index) bool {
		return len(index.Fields) >= len(fields) && !slices.ContainsFunc(fields, func(field *schema.Field) bool {
			return index.Fields[slices.Index(fields, field)].Field != field
		})
	})
}

// newRow returns a pointer to a new row of the program's model.
func (t *Table) newRow() any { return reflect.New(t.schema.ModelType).Interface() }

// theirs is true of the rows of a user.
func (t *Table) theirs(ctx context.Context, userID string) (clause.Expression, error) {
	if userID == "" {
		return nil, errors.New("gormstore: the user has no id")
	}
	row := reflect.New(t.schema.ModelType)
	if err := t.userID.set(row.Interface(), userID); err != nil {
		return nil, err
	}
	value, _ := t.userID.field.ValueOf(ctx, row.Elem())
	return eq(t.userID.field.DBName, value), nil
}

// nobody is the value of the user's column where there is no user.
func (t *Table) nobody() any {
	value, _ := t.userID.field.ValueOf(context.Background(), reflect.New(t.schema.ModelType).Elem())
	return value
}

// is is true of a row in which a field of the model has the value; nil is NULL.
func (t *Table) is(field string, value any) clause.Expression { return eq(t.column(field), value) }

// isZero is true of a row in which a time is not set: 0, or NULL, which the table of an older
// program may have in its place.
func (t *Table) isZero(field string) clause.Expression {
	return clause.Or(t.is(field, 0), t.is(field, nil))
}

// isNot is true of a row in which a field of the model has another value.
func (t *Table) isNot(field string, value any) clause.Expression { return neq(t.column(field), value) }

// column returns the name of the column of a field that the table's description or its
// store names.
func (t *Table) column(field string) string {
	name, ok := t.columns[field]
	if field == "UserID" && t.userID != nil {
		name, ok = t.userID.field.DBName, true
	}
	if !ok {
		panic(fmt.Sprintf("gormstore: %s has no field %s", t.name, field)) // a slip in this package
	}
	return name
}

// values turns the names of fields into those of columns.
func (t *Table) values(byField map[string]any) map[string]any {
	byColumn := make(map[string]any, len(byField))
	for field, value := range byField {
		byColumn[t.column(field)] = value
	}
	return byColumn
}

// conn returns the handle for one call: the table's own, with its conditions
// and plugins, on the connection of the caller's transaction if there is one.
func (t *Table) conn(ctx context.Context) *gorm.DB {
	return t.joined(ctx, t.db.WithContext(ctx))
}

// primary begins one query, with dbresolver's mark for the primary: a replica may
// lag behind a write that a client already knows of. Every request reads, so the
// handle is copied once, where conn has it copied again by what comes next.
func (t *Table) primary(ctx context.Context) *gorm.DB {
	db := t.db.Set("gorm:db_resolver:write", struct{}{})
	db.Statement.Context = ctx
	return t.joined(ctx, db)
}

// bare begins one query of the primary without the handle's own conditions.
func (t *Table) bare(ctx context.Context) *gorm.DB {
	return t.joined(ctx, unconditional(t.db.WithContext(ctx)).Set("gorm:db_resolver:write", struct{}{}))
}

// find loads the one row that the conditions name. It reports whether there
// is one, and logs nothing when there is none. A row that the database answered with
// and that the conditions do not name is none.
func (t *Table) find(ctx context.Context, into any, conditions ...clause.Expression) (found bool, err error) {
	tries := newTries(ctx)
	defer tries.stop()
	for tries.next() {
		found, err = t.load(t.primary(tries.ctx), into, conditions...)
		tries.ended(err)
	}
	return found, tries.err
}

// load is one attempt of find, on a handle.
func (t *Table) load(db *gorm.DB, into any, conditions ...clause.Expression) (found bool, err error) {
	result := where(db, conditions...).Limit(1).Find(into)
	if result.Error != nil || result.RowsAffected != 1 {
		return false, result.Error
	}
	return t.holds(result.Statement.Context, reflect.ValueOf(into).Elem(), conditions...), nil
}

// list loads the rows that the conditions name, in the order and number that more says,
// each as a pointer to the program's model.
func (t *Table) list(ctx context.Context, conditions []clause.Expression, more ...clause.Expression) (rows []any, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		rows, err = t.loadAll(t.primary(ctx), conditions, more...)
		return err
	})
	return rows, err
}

// loadAll is one attempt of list, on a handle.
func (t *Table) loadAll(db *gorm.DB, conditions []clause.Expression, more ...clause.Expression) (rows []any, err error) {
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
	return rows, result.Error
}

// single is a handle for one statement that needs no transaction around it,
// unless the model's hooks write, too.
func single(db *gorm.DB, hooks bool) *gorm.DB {
	if hooks {
		return db
	}
	return db.Session(&gorm.Session{SkipDefaultTransaction: true})
}

// hasHooks reports whether the model has hooks of GORM's that are run by writes.
func (t *Table) hasHooks() bool { return t.hooksOnCreate() || t.hooksOnUpdate() || t.hooksOnDelete() }

func (t *Table) hooksOnCreate() bool {
	return t.schema.BeforeCreate || t.schema.AfterCreate || t.schema.BeforeSave || t.schema.AfterSave
}

func (t *Table) hooksOnUpdate() bool {
	return t.schema.BeforeUpdate || t.schema.AfterUpdate || t.schema.BeforeSave || t.schema.AfterSave
}

func (t *Table) hooksOnDelete() bool { return t.schema.BeforeDelete || t.schema.AfterDelete }

// column is a column of the model's own table.
func column(name string) clause.Column { return clause.Column{Table: clause.CurrentTable, Name: name} }

func eq(name string, value any) clause.Expression {
	return clause.Eq{Column: column(name), Value: value}
}

func neq(name string, value any) clause.Expression {
	return clause.Neq{Column: column(name), Value: value}
}
