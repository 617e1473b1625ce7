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

	"github.com/gormoauth/gormoauth/server/finding"
)

// catalogTable is a table as the database's catalog describes it.
type catalogTable struct {
	columns map[string]tableColumn
	indexes []tableIndex
	foreign map[string]bool // the columns that refer to another table
}

func newCatalogTable() *catalogTable {
	return &catalogTable{columns: make(map[string]tableColumn), foreign: make(map[string]bool)}
}

type tableColumn struct {
	written    string // its type, as it is written in a statement
	length     int    // in characters; 0 means unbounded
	bits       int    // of an integer narrower than 64 bits; otherwise 0
	nullable   bool
	hasDefault bool // or the database fills it in another way
	// insensitive is the collation if it treats different strings as equal; otherwise empty.
	insensitive string
	// charset is the character set if it cannot represent every character; otherwise empty.
	charset string
}

type tableIndex struct {
	name    string
	unique  bool
	usable  bool // the database has finished building it
	partial bool
	columns []string // empty strings for expressions
	// method and bytes are its access method and size, on PostgreSQL only.
	method string
	bytes  int64
}

// addColumn appends a column to an index. t is nil for a table that was created after the
// columns were read.
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

// refer records that a column refers to another table.
func (t *catalogTable) refer(column string) {
	if t != nil {
		t.foreign[column] = true
	}
}

// examineTable compares a model with its table.
func (x *examination) examineTable(engine engine, m *examinedModel, t *catalogTable) {
	name := m.table.schema.Table
	if t == nil {
		x.find(finding.Finding{
			Check: "table", Severity: finding.Grave, Where: "table " + name, Problem: "does not exist, or the role may not see it",
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
		x.find(finding.Finding{
			Check: "column", Severity: finding.Grave, Where: "column " + name + "." + column, Problem: "does not exist",
			Consequence: "every request that needs it fails", Remedy: fmt.Sprintf("gormoauth.AutoMigrate(db, &%s{})", m.table.schema.Name),
		})
	}
	x.examineUnknownColumns(m, t)
	x.examineTexts(engine, m, t)
	x.examineIndexes(m, t)
	x.examineStorage(m, t)
	x.examineRows(m, t)
}

// examineColumn finds a column that cannot hold the values that are written to it.
func (x *examination) examineColumn(engine engine, m *examinedModel, t *catalogTable, field *schema.Field, found tableColumn) {
	where := "column " + m.table.schema.Table + "." + field.DBName
	name := m.ofMixin(field)
	if length, declared := m.neededLength(field); found.length > 0 && found.length < length {
		x.find(finding.Finding{
			Check: "column_length", Severity: finding.Grave, Where: where, Problem: fmt.Sprintf("holds %d characters but needs %d", found.length, length),
			Consequence: "longer values are refused or truncated", Remedy: engine.retype(x.quote(m.table.schema.Table), x.quote(field.DBName), declared),
		})
	}
	if isTime := strings.HasSuffix(name, "At") || name == "AuthTime"; isTime && found.bits > 0 && found.bits < 64 {
		x.find(finding.Finding{
			Check: "column_time", Severity: finding.Warning, Where: where, Problem: fmt.Sprintf("is a %d-bit integer", found.bits),
			Consequence: "it overflows in January 2038", Remedy: engine.retype(x.quote(m.table.schema.Table), x.quote(field.DBName), "bigint"),
		})
	}
	isUserID := m.table.userID != nil && m.table.userID.field == field
	switch mayBeNull := name != "" || isUserID && m.withoutUser(); {
	case mayBeNull && zeroIsNull(field) && !found.nullable:
		x.find(finding.Finding{
			Check: "column_null", Severity: finding.Grave, Where: where, Problem: "is NOT NULL, but rows without a value are written",
			Consequence: "those rows are refused", Remedy: nullable(x.db.Name(), x.quote(m.table.schema.Table), x.quote(field.DBName), found),
		})
	case isUserID && m.withoutUser() && !zeroIsNull(field) && t.foreign[field.DBName]:
		x.find(finding.Finding{
			Check: "user_id", Severity: finding.Grave, Where: "model " + m.table.name, Problem: fmt.Sprintf("has a UserID of type %s, and its column refers to another table", field.FieldType),
			Consequence: "rows without a user, such as the tokens of client_credentials, are refused", Remedy: fmt.Sprintf("UserID *%s", field.FieldType),
		})
	}
}

const (
	digestLength = 64
	// textLength is the minimum length of a column for lists or documents.
	textLength = 1024
)

var lengthOfType = regexp.MustCompile(`^varchar\((\d+)\)$`)

// neededLength returns how many characters a column needs, and its type in the model. The
// length is 0 for a column that is not a string, or whose type the program left to GORM.
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
		length = digestLength // the column is wider only for the plaintext of an older program
	}
	return length, columnType
}

// nullable returns the statement that makes a column nullable; SQLite has none.
func nullable(engine, table, column string, found tableColumn) string {
	switch engine {
	case "postgres":
		return "ALTER TABLE " + table + " ALTER COLUMN " + column + " DROP NOT NULL"
	case "mysql":
		return "ALTER TABLE " + table + " MODIFY " + column + " " + found.written + " NULL"
	default:
		return "recreate the table without NOT NULL on " + column + ", and copy the rows"
	}
}

// examineUnknownColumns finds columns that need a value but are not in the model.
func (x *examination) examineUnknownColumns(m *examinedModel, t *catalogTable) {
	for _, column := range slices.Sorted(maps.Keys(t.columns)) {
		found := t.columns[column]
		if _, known := m.table.schema.FieldsByDBName[column]; known || found.nullable || found.hasDefault {
			continue
		}
		x.find(finding.Finding{
			Check: "column_unknown", Severity: finding.Grave, Where: "column " + m.table.schema.Table + "." + column,
			Problem: "is NOT NULL without a default, but is not in the model", Consequence: "no row can be inserted",
			Remedy: "give it a default in the database, or add a field for it to the model",
		})
	}
}

// examineTexts finds string columns that are compared loosely, or that cannot hold every
// character.
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
		x.find(finding.Finding{
			Check: "collation", Severity: finding.Warning, Where: "table " + m.table.schema.Table,
			Problem:     fmt.Sprintf("compares %s with %s, which treats some different strings as equal", strings.Join(loose, ", "), collation),
			Consequence: "a change to the rows of a client or a user also affects those of another with a similar id",
			Remedy:      x.exactly(engine, m, t, loose),
		})
	}
	if len(narrow) > 0 {
		x.find(finding.Finding{
			Check: "character_set", Severity: finding.Warning, Where: "table " + m.table.schema.Table,
			Problem: fmt.Sprintf("stores %s in %s, which cannot represent every character", strings.Join(narrow, ", "), charset), Consequence: "names with some characters are refused",
			Remedy: fmt.Sprintf("ALTER TABLE %s CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", x.quote(m.table.schema.Table)),
		})
	}
}

// isCompared reports whether rows are found by a string in this column that someone
// chose. Digests do not count, because two digests never differ only in case.
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

// exactly returns the statements that make the columns compare byte by byte.
func (x *examination) exactly(engine engine, m *examinedModel, t *catalogTable, columns []string) string {
	var statements []string
	for _, column := range columns {
		written := t.columns[column].written + exactCollation[x.db.Name()]
		statements = append(statements, engine.retype(x.quote(m.table.schema.Table), x.quote(column), written))
	}
	return strings.Join(statements, "; ")
}

var exactCollation = map[string]string{"mysql": " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "postgres": ` COLLATE "C"`}

// examineIndexes finds indexes that a model declares but its table lacks.
func (x *examination) examineIndexes(m *examinedModel, t *catalogTable) {
	for _, index := range m.table.schema.ParseIndexes() {
		var columns []string
		for _, option := range index.Fields {
			if option.Expression == "" {
				columns = append(columns, option.DBName)
			}
		}
		if len(columns) < len(index.Fields) || !t.hasColumns(columns) {
			continue // an expression of the program's own, or missing columns
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
		x.find(finding.Finding{
			Check: "index", Severity: finding.Warning, Where: where, Problem: "has no index that begins with " + strings.Join(columns, ", ") + t.unfit(columns),
			Consequence: "finding rows reads the whole table", Remedy: remedy + "CREATE INDEX" + on,
		})
		return
	}
	x.find(finding.Finding{
		Check: "unique_index", Severity: finding.Grave, Where: where, Problem: "has no unique index on " + strings.Join(columns, ", ") + t.unfit(columns),
		Consequence: "what must be unique can be stored twice, and used twice", Remedy: remedy + "CREATE UNIQUE INDEX" + on,
	})
	if columns[0] == m.column("ClientMixin", "ClientID") {
		x.examineDuplicates(m, columns[0])
	}
}

// A hash index on digests is less than half the size of a b-tree (measured: 0.35 to 0.46).
const (
	savedByHash = 0.55
	worthSaying = 4 << 20 // bytes
)

// examineStorage reports how much space [CompactSQL] would save.
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
	x.find(finding.Finding{
		Check: "compact", Severity: finding.Hint, Where: "table " + m.table.schema.Table,
		Problem:     fmt.Sprintf("has b-tree indexes where hash indexes would do: %s, %d MB", strings.Join(names, ", "), bytes>>20),
		Consequence: fmt.Sprintf("they take about %d MB more than needed, and every change of a row writes more", saved>>20),
		Remedy:      fmt.Sprintf("run the statements of gormstore.CompactSQL(db, &%s{}) one by one", m.table.schema.Name),
	})
}

// hasColumns reports whether the table has all of the columns. None has the name "", which stands
// for the column of a field that the model does not have.
func (t *catalogTable) hasColumns(columns []string) bool {
	return !slices.ContainsFunc(columns, func(column string) bool { _, ok := t.columns[column]; return !ok })
}

// hasIndex reports whether an index supports finding rows by the columns, or, for unique,
// ensures that no two rows have the same values.
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

// unfit says why an existing index on the columns does not do; empty if there is none.
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

// dropUnfit returns the statement that drops an index of the same name; empty if there is
// none.
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
