package gormstore

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gorm.io/gorm/schema"

	"github.com/gormoauth/gormoauth/server"
)

// table is what a database's catalog says of a table.
type catalogTable struct {
	columns map[string]tableColumn
	indexes []tableIndex
	foreign map[string]bool // the columns that refer to another table
}

func newCatalogTable() *catalogTable {
	return &catalogTable{columns: make(map[string]tableColumn), foreign: make(map[string]bool)}
}

type tableColumn struct {
	written    string // its type, as a statement has it
	length     int    // in characters; 0 is unbounded
	bits       int    // of an integer that is not wide enough for any; 0 of all others
	nullable   bool
	hasDefault bool // or is filled by the database in another way
	// insensitive collations take texts for equal that are not.
	insensitive string
	// charset is one that cannot hold every character, empty otherwise.
	charset string
}

type tableIndex struct {
	name    string
	unique  bool
	usable  bool // the database has finished it
	partial bool
	columns []string // an expression is empty
	// method and bytes are its access method and size, on PostgreSQL alone.
	method string
	bytes  int64
}

// addColumn extends an index by its next column. A table that was made since the columns were
// read is nil.
func (t *catalogTable) addColumn(index tableIndex, column string) {
	if t == nil {
		return
	}
	if n := len(t.indexes); n == 0 || t.indexes[n-1].name != index.name {
		t.indexes = append(t.indexes, index)
	}
	last := &t.indexes[len(t.indexes)-1]
	last.columns = append(last.columns, column)
}

// refer notes that a column refers to another table.
func (t *catalogTable) refer(column string) {
	if t != nil {
		t.foreign[column] = true
	}
}

// examineTable compares a model with its table.
func (x *examination) examineTable(engine engine, m *examinedModel, t *catalogTable) {
	name := m.table.schema.Table
	if t == nil {
		x.find(server.Finding{
			Check: "table", Severity: server.Grave, Where: "table " + name, Problem: "is not there, or the role may not see it",
			Consequence: "every request that needs it fails", Remedy: fmt.Sprintf("gormoauth.AutoMigrate(db, &%s{})", m.table.schema.Name),
		})
		return
	}
	for _, column := range m.table.schema.DBNames {
		field := m.table.schema.FieldsByDBName[column]
		if field.IgnoreMigration {
			continue
		}
		if found, ok := t.columns[column]; ok {
			x.examineColumn(engine, m, t, field, found)
			continue
		}
		x.find(server.Finding{
			Check: "column", Severity: server.Grave, Where: "column " + name + "." + column, Problem: "is not there",
			Consequence: "every request that needs it fails", Remedy: fmt.Sprintf("gormoauth.AutoMigrate(db, &%s{})", m.table.schema.Name),
		})
	}
	x.examineColumnsOfNobody(m, t)
	x.examineTexts(engine, m, t)
	x.examineIndexes(m, t)
	x.examineStorage(m, t)
	x.examineRows(m, t)
}

// examineColumn finds a column that cannot hold what is written to it.
func (x *examination) examineColumn(engine engine, m *examinedModel, t *catalogTable, field *schema.Field, found tableColumn) {
	where := "column " + m.table.schema.Table + "." + field.DBName
	name := m.ofMixin(field)
	if length, declared := m.neededLength(field); found.length > 0 && found.length < length {
		x.find(server.Finding{
			Check: "column_length", Severity: server.Grave, Where: where, Problem: fmt.Sprintf("holds %d characters, and needs %d", found.length, length),
			Consequence: "what is longer is refused, or cut off", Remedy: engine.retype(x.quote(m.table.schema.Table), x.quote(field.DBName), declared),
		})
	}
	if isTime := strings.HasSuffix(name, "At") || name == "AuthTime"; isTime && found.bits > 0 && found.bits < 64 {
		x.find(server.Finding{
			Check: "column_time", Severity: server.Warning, Where: where, Problem: fmt.Sprintf("is an integer of %d bits", found.bits),
			Consequence: "it ends in January 2038", Remedy: engine.retype(x.quote(m.table.schema.Table), x.quote(field.DBName), "bigint"),
		})
	}
	isUserID := m.table.userID != nil && m.table.userID.field == field
	switch mayBeNull := name != "" || isUserID && m.withoutUser(); {
	case mayBeNull && zeroIsNull(field) && !found.nullable:
		x.find(server.Finding{
			Check: "column_null", Severity: server.Grave, Where: where, Problem: "is NOT NULL, and rows without it are written",
			Consequence: "those are refused", Remedy: nullable(x.db.Name(), x.quote(m.table.schema.Table), x.quote(field.DBName), found),
		})
	case isUserID && m.withoutUser() && !zeroIsNull(field) && t.foreign[field.DBName]:
		x.find(server.Finding{
			Check: "user_id", Severity: server.Grave, Where: "model " + m.table.name, Problem: fmt.Sprintf("has a UserID of type %s, whose column refers to another table", field.FieldType),
			Consequence: "what belongs to no user, such as a token of client_credentials, is refused", Remedy: fmt.Sprintf("UserID *%s", field.FieldType),
		})
	}
}

const (
	digestLength = 64
	// textLength is what a column needs that holds a list or a document.
	textLength = 1024
)

var lengthOfType = regexp.MustCompile(`^varchar\((\d+)\)$`)

// neededLength returns how many characters a column needs, and the type that the
// model gives it; 0 of one that is no text, or that the program left to GORM.
func (m *examinedModel) neededLength(field *schema.Field) (length int, columnType string) {
	columnType = string(field.DataType)
	match := lengthOfType.FindStringSubmatch(columnType)
	switch {
	case match != nil:
		length, _ = strconv.Atoi(match[1])
	case m.ofMixin(field) != "" && columnType == "text":
		return textLength, columnType
	case field.DataType == schema.String && field.TagSettings["SIZE"] != "":
		length, columnType = field.Size, fmt.Sprintf("varchar(%d)", field.Size)
	}
	if name := m.described(field); name != "" && slices.Contains(m.table.about.Digests, name) {
		length = digestLength // an older program kept some as they were, for which the column is wider
	}
	return length, columnType
}

// nullable is the statement that lets a column be NULL; SQLite has none.
func nullable(engine, table, column string, found tableColumn) string {
	switch engine {
	case "postgres":
		return "ALTER TABLE " + table + " ALTER COLUMN " + column + " DROP NOT NULL"
	case "mysql":
		return "ALTER TABLE " + table + " MODIFY " + column + " " + found.written + " NULL"
	default:
		return "make the table anew without NOT NULL on " + column + ", and copy the rows"
	}
}

// examineColumnsOfNobody finds columns that the table demands and the model does
// not have.
func (x *examination) examineColumnsOfNobody(m *examinedModel, t *catalogTable) {
	for _, column := range slices.Sorted(maps.Keys(t.columns)) {
		found := t.columns[column]
		if _, known := m.table.schema.FieldsByDBName[column]; known || found.nullable || found.hasDefault {
			continue
		}
		x.find(server.Finding{
			Check: "column_unknown", Severity: server.Grave, Where: "column " + m.table.schema.Table + "." + column,
			Problem: "is NOT NULL without a default, and the model does not have it", Consequence: "no row can be inserted",
			Remedy: "give it a default in the database, or add its field to the model",
		})
	}
}

// examineTexts finds texts that are compared loosely, or that cannot be stored.
func (x *examination) examineTexts(engine engine, m *examinedModel, t *catalogTable) {
	var loose, narrow []string
	collation, charset := "", ""
	for _, column := range m.table.schema.DBNames {
		field, found := m.table.schema.FieldsByDBName[column], t.columns[column]
		if found.insensitive != "" && m.isCompared(field) {
			loose, collation = append(loose, column), found.insensitive
		}
		if found.charset != "" && m.ofMixin(field) != "" && field.DataType == "text" {
			narrow, charset = append(narrow, column), found.charset
		}
	}
	if len(loose) > 0 {
		x.find(server.Finding{
			Check: "collation", Severity: server.Warning, Where: "table " + m.table.schema.Table,
			Problem:     fmt.Sprintf("compares %s by %s, which takes texts for equal that are not", strings.Join(loose, ", "), collation),
			Consequence: "what is done to the rows of a client or a user is done to those of another with a similar id",
			Remedy:      x.exactly(engine, m, t, loose),
		})
	}
	if len(narrow) > 0 {
		x.find(server.Finding{
			Check: "character_set", Severity: server.Warning, Where: "table " + m.table.schema.Table,
			Problem: fmt.Sprintf("keeps %s in %s, which cannot hold every character", strings.Join(narrow, ", "), charset), Consequence: "some names are refused",
			Remedy: fmt.Sprintf("ALTER TABLE %s CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", x.quote(m.table.schema.Table)),
		})
	}
}

// isCompared reports whether a column is looked for by a text that somebody chose.
// Digests are not among them: two never differ in case alone.
func (m *examinedModel) isCompared(field *schema.Field) bool {
	name := m.ofMixin(field)
	switch {
	case m.table.userID != nil && m.table.userID.field == field:
		return field.DataType == schema.String || field.FieldType.Kind() == reflect.String
	case m.is("TokenMixin") && name == "Audience":
		return true
	default:
		return name == "ClientID"
	}
}

// exactly is the statement that has columns compared byte by byte.
func (x *examination) exactly(engine engine, m *examinedModel, t *catalogTable, columns []string) string {
	var statements []string
	for _, column := range columns {
		written := t.columns[column].written + exactCollation[x.db.Name()]
		statements = append(statements, engine.retype(x.quote(m.table.schema.Table), x.quote(column), written))
	}
	return strings.Join(statements, "; ")
}

var exactCollation = map[string]string{"mysql": " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "postgres": ` COLLATE "C"`}

// examineIndexes finds the indexes that a model declares and its table lacks.
func (x *examination) examineIndexes(m *examinedModel, t *catalogTable) {
	for _, index := range m.table.schema.ParseIndexes() {
		var columns []string
		for _, option := range index.Fields {
			if option.Expression == "" {
				columns = append(columns, option.DBName)
			}
		}
		if len(columns) < len(index.Fields) || !t.hasColumns(columns) {
			continue // an expression of the program's own, or columns that are not there
		}
		unique := index.Class == "UNIQUE" && index.Where == ""
		if t.hasIndex(columns, unique, index.Where != "") {
			continue
		}
		x.findIndex(m, t, index, columns)
	}
}

func (x *examination) findIndex(m *examinedModel, t *catalogTable, index *schema.Index, columns []string) {
	quoted := make([]string, len(columns))
	for i, column := range columns {
		quoted[i] = x.quote(column)
	}
	where, condition := "table "+m.table.schema.Table, ""
	if index.Where != "" && x.db.Name() != "mysql" {
		condition = " WHERE " + index.Where
	}
	remedy := t.dropUnfit(x, m, index.Name)
	on := fmt.Sprintf(" %s ON %s (%s)%s", x.quote(index.Name), x.quote(m.table.schema.Table), strings.Join(quoted, ", "), condition)
	if index.Class != "UNIQUE" {
		x.find(server.Finding{
			Check: "index", Severity: server.Warning, Where: where, Problem: "has no index that begins with " + strings.Join(columns, ", ") + t.unfit(columns),
			Consequence: "all of its rows are read to find some", Remedy: remedy + "CREATE INDEX" + on,
		})
		return
	}
	x.find(server.Finding{
		Check: "unique_index", Severity: server.Grave, Where: where, Problem: "has no unique index on " + strings.Join(columns, ", ") + t.unfit(columns),
		Consequence: "what may be there once can be there twice, and be used twice", Remedy: remedy + "CREATE UNIQUE INDEX" + on,
	})
	if columns[0] == m.column("ClientMixin", "ClientID") {
		x.examineDuplicates(m, columns[0])
	}
}

// A hash index of digests is less than half as large as a b-tree (measured: 0.35 to 0.46).
const (
	savedByHash = 0.55
	worthSaying = 4 << 20 // bytes
)

// examineStorage tells what [CompactSQL] would save.
func (x *examination) examineStorage(m *examinedModel, t *catalogTable) {
	byEquality := m.table.byEquality()
	var names []string
	var bytes int64
	for _, index := range t.indexes {
		if index.method != "btree" || index.unique || len(index.columns) != 1 {
			continue
		}
		if _, ok := byEquality[index.columns[0]]; ok {
			names, bytes = append(names, index.name), bytes+index.bytes
		}
	}
	saved := int64(savedByHash * float64(bytes))
	if saved < worthSaying {
		return
	}
	x.find(server.Finding{
		Check: "compact", Severity: server.Hint, Where: "table " + m.table.schema.Table,
		Problem:     fmt.Sprintf("has b-trees where hash indexes do: %s, %d MB", strings.Join(names, ", "), bytes>>20),
		Consequence: fmt.Sprintf("about %d MB more than needed, and more to write whenever a row is changed", saved>>20),
		Remedy:      fmt.Sprintf("run the statements of gormstore.CompactSQL(db, &%s{}), one by one", m.table.schema.Name),
	})
}

func (t *catalogTable) hasColumns(columns []string) bool {
	return !slices.ContainsFunc(columns, func(column string) bool { _, ok := t.columns[column]; return !ok })
}

// hasIndex reports whether an index serves to find rows by the columns, or, if it
// is to be unique, keeps two rows from having the same.
func (t *catalogTable) hasIndex(columns []string, unique, partial bool) bool {
	return slices.ContainsFunc(t.indexes, func(index tableIndex) bool {
		if !index.usable || index.partial && !partial {
			return false
		}
		if unique {
			return index.unique && !slices.ContainsFunc(index.columns, func(column string) bool { return !slices.Contains(columns, column) })
		}
		return len(index.columns) >= len(columns) && slices.Equal(index.columns[:len(columns)], columns)
	})
}

// unfit names the indexes of the columns that do not serve.
func (t *catalogTable) unfit(columns []string) string {
	for _, index := range t.indexes {
		switch {
		case !slices.Equal(index.columns, columns):
		case !index.usable:
			return fmt.Sprintf(" (%s is invalid: its creation failed)", index.name)
		case index.partial:
			return fmt.Sprintf(" (%s is partial: it has a WHERE)", index.name)
		case !index.unique:
			return fmt.Sprintf(" (%s is not unique)", index.name)
		}
	}
	return ""
}

// dropUnfit is the statement that makes room for an index of the same name.
func (t *catalogTable) dropUnfit(x *examination, m *examinedModel, name string) string {
	switch {
	case !slices.ContainsFunc(t.indexes, func(index tableIndex) bool { return index.name == name }):
		return ""
	case x.db.Name() == "mysql":
		return "DROP INDEX " + x.quote(name) + " ON " + x.quote(m.table.schema.Table) + "; "
	default:
		return "DROP INDEX " + x.quote(name) + "; "
	}
}
