package gormstore_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/server/storage"
)

// snapshot is all rows of all tables, each column as text, by table and id.
type snapshot map[string]map[string]map[string]string

// random is what differs from run to run: ids, secrets, digests, keys. word is not, though it is as long.
var random = regexp.MustCompile(`[A-Za-z0-9_-]{16,}`)
var word = regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)

// names gives each random text the name of the column in which it was first seen.
type names struct {
	known map[string]string
	count map[string]int
}

func (n names) of(place, text string) string {
	return random.ReplaceAllStringFunc(text, func(text string) string {
		if word.MatchString(text) {
			return text
		}
		if n.known[text] == "" {
			n.count[place]++
			n.known[text] = fmt.Sprintf("<%s %d>", place, n.count[place])
		}
		return n.known[text]
	})
}

func (r *rows) snapshot(n names) snapshot {
	all := make(snapshot)
	for _, model := range allModels {
		statement := &gorm.Statement{DB: r.db}
		require.NoError(r.T, statement.Parse(model))
		var found []map[string]any
		require.NoError(r.T, r.db.Table(statement.Table).Order("id").Find(&found).Error)
		table := make(map[string]map[string]string)
		for _, row := range found {
			shown := make(map[string]string)
			for _, column := range slices.Sorted(maps.Keys(row)) {
				shown[column] = n.of(statement.Table+"."+column, r.shown(row[column]))
			}
			table[shown["id"]] = shown
		}
		all[statement.Table] = table
	}
	return all
}

// shown is the value of a column. A time is its distance from that of the server's clock.
func (r *rows) shown(value any) string {
	switch value := value.(type) {
	case nil:
		return "NULL"
	case string:
		return fmt.Sprintf("%q", value)
	case []byte:
		return fmt.Sprintf("%q", value)
	case int64:
		if away := value - time.Now().Unix(); -60 < away && away <= 0 {
			return "the time of the test"
		}
		if away := value - r.Now.Unix(); away > -1_000_000 {
			return fmt.Sprintf("now%+d", away)
		}
	}
	return fmt.Sprint(value)
}

// shownWhole is a result with all of its exported fields that are not zero.
func (n names) shownWhole(v reflect.Value) string {
	switch {
	case !v.IsValid() || v.IsZero() && v.Kind() != reflect.Bool:
		return "nothing"
	case v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface:
		return n.shownWhole(v.Elem())
	case v.Kind() == reflect.Struct:
		var fields []string
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() && !v.Field(i).IsZero() {
				fields = append(fields, field.Name+"="+n.shownWhole(v.Field(i)))
			}
		}
		return "{" + strings.Join(fields, " ") + "}"
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		var elements []string
		for i := range v.Len() {
			elements = append(elements, n.shownWhole(v.Index(i)))
		}
		return "[" + strings.Join(elements, " ") + "]"
	case v.Kind() == reflect.Slice:
		return fmt.Sprintf("%d bytes", v.Len())
	}
	return n.of("result", fmt.Sprintf("%#v", v.Interface()))
}

// since is what differs from another snapshot, one line for each row.
func (s snapshot) since(before snapshot) string {
	var lines strings.Builder
	for _, table := range slices.Sorted(maps.Keys(s)) {
		ids := maps.Clone(s[table])
		maps.Copy(ids, before[table])
		for _, id := range slices.Sorted(maps.Keys(ids)) {
			old, row := before[table][id], s[table][id]
			switch {
			case row == nil:
				fmt.Fprintf(&lines, "- %s %s\n", table, id)
			case old == nil:
				fmt.Fprintf(&lines, "+ %s %s:", table, id)
				for _, column := range slices.Sorted(maps.Keys(row)) {
					if value := row[column]; value != `""` && value != "0" && value != "NULL" && value != "false" && column != "id" {
						fmt.Fprintf(&lines, " %s=%s", column, value)
					}
				}
				lines.WriteString("\n")
			case !maps.Equal(old, row):
				fmt.Fprintf(&lines, "~ %s %s:", table, id)
				for _, column := range slices.Sorted(maps.Keys(row)) {
					if old[column] != row[column] {
						fmt.Fprintf(&lines, " %s=%s", column, row[column])
					}
				}
				lines.WriteString("\n")
			}
		}
	}
	return lines.String()
}

// effect is what an operation returns and writes.
func (r *rows) effect(t *testing.T, name string, db *gorm.DB) (effect string, err error) {
	t.Helper()
	n := names{make(map[string]string), make(map[string]int)}
	before := r.snapshot(n)
	err = r.operations()[name](underway.Shorten(t.Context(), 0), made(gormstore.WithAudit[Audit](db)))
	written := r.snapshot(n).since(before)
	return fmt.Sprintf("%s: %s\n%s\n", name, n.shownWhole(reflect.ValueOf(r.result)), written), err
}

// Each operation returns and writes what testdata/effects.txt says, in all columns of all tables,
// and nothing else.
func TestWhatEachOperationWrites(t *testing.T) {
	original := newRows(t, testdb.Open(t, testdb.SQLiteGo, allModels...))
	copied, operations := original.copies(t), original.operations()
	var effects strings.Builder
	for _, name := range slices.Sorted(maps.Keys(operations)) {
		r := copied(t)
		effect, err := r.effect(t, name, r.db)
		require.NoError(t, err, name)
		effects.WriteString(effect)
	}
	oauthtest.Known(t, "effects.txt", effects.String())
}

// Where an answer of the database is lost, an operation has the same effect all the same, or says
// that it is not known; what stores something recognizes that it did. What an operation may do
// instead is in testdata/lost_answers.txt.
func TestALostAnswerIsNotTakenForAnother(t *testing.T) {
	recognized := []string{
		"save a token", "save a code", "register a client", "create a client", "push a request", "save a device code", "join a session", "save a consent", "spend a code",
		"rotate a token", "keep a refresh token", "exchange a token", "rotate a secret", "decide on a device code",
	}
	sound, err := os.ReadFile("testdata/effects.txt")
	require.NoError(t, err)
	original := newRows(t, testdb.Open(t, testdb.SQLiteGo, allModels...))
	copied, operations := original.copies(t), original.operations()
	var others strings.Builder
	for _, name := range slices.Sorted(maps.Keys(operations)) {
		different := make(map[string]bool)
		for number, injected := 0, 1; injected > 0; number++ {
			r := copied(t)
			plan := &faults.Plan{Next: faults.At(number, faults.Fault{Err: faults.ErrCut, After: true})}
			effect, err := r.effect(t, name, faults.DB(r.db, plan))
			if err != nil {
				unknown := errors.Is(err, storage.ErrUnavailable) || errors.Is(err, faults.ErrCut)
				require.True(t, unknown && !slices.Contains(recognized, name), "%s: the answer to call %d was lost, and the error is %v", name, number, err)
			} else if !strings.Contains("\n"+string(sound), "\n"+effect) {
				different[effect] = true
			}
			injected = plan.Injected()
		}
		others.WriteString(strings.Join(slices.Sorted(maps.Keys(different)), ""))
	}
	oauthtest.Known(t, "lost_answers.txt", others.String())
}
