package main

import (
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/faults"
)

// Ratios mean something as long as the floor does what the library does: no
// statement less, so that it is one, and none more, so that it does not flatter.
func TestTheFloorDoesTheLibrarysStatements(t *testing.T) {
	for _, e := range workplaceOf(t) {
		t.Run(e.name, func(t *testing.T) {
			want := statementsOf(t, e, own, newOwn)
			assert.Equal(t, want, statementsOf(t, e, floor, newGORMFloor))
			assert.Len(t, want[issue], 2)
			assert.Len(t, want[redeem], 5)
			assert.Len(t, want[refresh], 4)
			assert.Len(t, want[validate], 1)
			assert.Len(t, want[introspect], 3)
			assert.Len(t, want[issueJWT], 2)
			assert.Empty(t, want[validateJWT])
			assert.Len(t, want[issueDPoP], 3)
			assert.Len(t, want[validateDPoP], 2)
			assert.Len(t, want[poll], 3)
			assert.Len(t, want[redeemOpenID], 5)
		})
	}
}

// A refresh that moves the row to another grant would rewrite one index more.
func TestARefreshKeepsItsGrant(t *testing.T) {
	for _, e := range workplaceOf(t) {
		for name, construct := range map[string]func(*gorm.DB) (contestant, error){own: newOwn, floor: newGORMFloor, "floor-sql": newSQLFloor} {
			t.Run(e.name+"/"+name, func(t *testing.T) {
				db := openFresh(t, e, "grant-"+name)
				c, err := construct(db)
				require.NoError(t, err)
				granted, err := grantInProcess(c, 1)
				require.NoError(t, err)
				var before, after token
				require.NoError(t, db.First(&before).Error)
				require.Equal(t, http.StatusOK, post(c, refreshForm(granted[0].Refresh)).Code)
				require.NoError(t, db.First(&after).Error)
				assert.NotEqual(t, before.AccessToken, after.AccessToken)
				assert.Equal(t, before.GrantID, after.GrantID)
			})
		}
	}
}

func openFresh(t testing.TB, e engine, name string) *gorm.DB {
	t.Helper()
	dsn, err := e.fresh(name)
	require.NoError(t, err)
	db, err := open(e.kind, dsn)
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	return db
}

// statementsOf returns the statements of each operation, once it has been called
// before: what is read once, such as keys, is no part of it.
func statementsOf(t *testing.T, e engine, name string, construct func(*gorm.DB) (contestant, error)) map[string][]string {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	recorded := faults.DB(openFresh(t, e, "statements-"+name), &faults.Plan{Next: func(call faults.Call) faults.Fault {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, call.SQL)
		return faults.Fault{}
	}})
	c, err := construct(recorded)
	require.NoError(t, err)
	all := make(map[string][]string)
	for _, o := range operations {
		d, err := newDriver(inProcessCaller(c), o, 1)
		require.NoError(t, err)
		if o.supply != nil {
			d.stock, err = o.supply(d, 2)
			require.NoError(t, err)
		}
		require.NoError(t, o.call(d, 0, 0))
		mu.Lock()
		seen = nil
		mu.Unlock()
		require.NoError(t, o.call(d, 0, 1))
		mu.Lock()
		all[o.name] = inShort(seen)
		mu.Unlock()
	}
	return all
}

var (
	statementStart = regexp.MustCompile("(SELECT \\* FROM|INSERT INTO|UPDATE) [`\"](\\w+)[`\"]")
	assigned       = regexp.MustCompile("[`\"](\\w+)[`\"]=")
	listed         = regexp.MustCompile("INSERT INTO [`\"]\\w+[`\"] \\(([^)]*)\\)")
)

// inShort reduces statements to their verb, table and columns that are written;
// one that does two things counts as two, and BEGIN and COMMIT as none: on
// PostgreSQL, the library redeems a code in one statement, the floor in a
// transaction.
func inShort(statements []string) (short []string) {
	for _, s := range statements {
		set, _, _ := strings.Cut(s, " WHERE ")
		for _, match := range statementStart.FindAllStringSubmatch(s, -1) {
			line := match[1] + " " + match[2]
			switch match[1] {
			case "UPDATE":
				for _, column := range assigned.FindAllStringSubmatch(set, -1) {
					line += " " + column[1]
				}
			case "INSERT INTO":
				line += " " + strings.NewReplacer("`", "", `"`, "").Replace(listed.FindStringSubmatch(s)[1])
			}
			short = append(short, line)
		}
	}
	return short
}
