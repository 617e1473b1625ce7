package gormstore_test

import (
	"crypto/rand"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// growing has a grant get another token after each of the first statements by which its
// tokens are revoked, as an exchange leaves one that was waited for.
func growing(t *testing.T, db *gorm.DB, times int) *gorm.DB {
	t.Helper()
	db, err := gorm.Open(db.Dialector, &gorm.Config{ConnPool: db.ConnPool, Logger: db.Logger, TranslateError: db.TranslateError})
	require.NoError(t, err)
	require.NoError(t, db.Callback().Update().After("gorm:update").Register("test:exchange", func(tx *gorm.DB) {
		if times == 0 || tx.Statement.Table != "tokens" || !strings.Contains(tx.Statement.SQL.String(), "refresh_token_revoked_at") {
			return
		}
		times--
		row := &Token{TokenMixin: models.TokenMixin{Authorization: models.Authorization{GrantID: "g"}, AccessToken: rand.Text()}}
		require.NoError(t, tx.Session(&gorm.Session{NewDB: true}).Create(row).Error)
	}))
	return db
}

// A grant ends whole, however many exchanges were waited for one after another. One that
// never stops growing is told, and does not take for ever.
func TestAGrantThatGrowsWhileItEnds(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		for times, ends := range map[int]bool{5: true, 1000: false} {
			tokens, err := gormstore.NewTokens[Token](growing(t, db, times))
			require.NoError(t, err)
			require.NoError(t, db.Create(&Token{TokenMixin: models.TokenMixin{Authorization: models.Authorization{GrantID: "g"}, AccessToken: rand.Text()}}).Error)
			err = tokens.RevokeGrant(gormstore.WithTransaction(t.Context(), db), "g", time.Unix(1, 0))
			var alive int64
			require.NoError(t, db.Model(&Token{}).Where("refresh_token_revoked_at = 0").Count(&alive).Error)
			if ends {
				require.NoError(t, err)
				assert.Zero(t, alive)
			} else {
				assert.ErrorIs(t, err, storage.ErrUnavailable)
			}
		}
	})
}

var aLook = regexp.MustCompile(`^SELECT .* LIMIT (3|\?|\$\d+)$`)

// What is too large to be looked up again and again, or takes too long to be, is walked through.
func TestALargeSelectionIsWalkedThrough(t *testing.T) {
	t.Cleanup(gormstore.LookBriefly(3, 2, 7))
	for name, times := range map[string]int{"large": 2, "slow to look up": 1} { // of each table
		slow := times == 1
		t.Run(name, func(t *testing.T) {
			testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
				user := &User{}
				require.NoError(t, db.Create(user).Error)
				for i := range 60 {
					token := models.TokenMixin{Authorization: models.Authorization{ClientID: "other"}, AccessToken: rand.Text()}
					if i%3 == 0 {
						token.ClientID = "client"
					}
					if i%2 == 0 {
						token.GrantID = "grant" + token.ClientID + string(rune('a'+i/6))
					}
					require.NoError(t, db.Create(&Token{TokenMixin: token}).Error)
					if i < 30 {
						code := &AuthorizationCode{UserID: user.ID, AuthorizationCodeMixin: models.AuthorizationCodeMixin{Authorization: token.Authorization, Code: rand.Text(), ExpiresAt: time.Now().Unix() + 60}}
						require.NoError(t, db.Omit("User").Create(code).Error)
					}
				}
				looks := 0
				observed := faults.DB(db, &faults.Plan{Next: func(call faults.Call) faults.Fault {
					if aLook.MatchString(call.SQL) {
						if looks++; slow {
							return faults.Fault{Err: postgresError("57014")}
						}
					}
					return faults.Fault{}
				}})
				tokens, _ := stores(t, observed)
				var told int64
				ctx := underway.Shorten(t.Context(), 0)
				require.NoError(t, tokens.Revoke(ctx, gormstore.RevokeOptions{ClientID: "client", Report: func(ended int64) { told = ended }}))
				alive := func(model any, column, client string) (rows int64) {
					require.NoError(t, db.Model(model).Where("client_id = ? AND "+column+" = 0", client).Count(&rows).Error)
					return rows
				}
				assert.Zero(t, alive(&Token{}, "refresh_token_revoked_at", "client"))
				assert.Zero(t, alive(&AuthorizationCode{}, "redeemed_at", "client"))
				assert.EqualValues(t, 40, alive(&Token{}, "refresh_token_revoked_at", "other"))
				assert.EqualValues(t, 20, alive(&AuthorizationCode{}, "redeemed_at", "other"))
				assert.Positive(t, told)
				assert.Equal(t, 2*times, looks, "by an index")
			})
		})
	}
}

// A database that compares client ids without regard to case returns others' rows as well. However
// many there are, they do not hide those that have to end.
func TestRowsOfOthersHideNothing(t *testing.T) {
	t.Cleanup(gormstore.LookBriefly(3, 2, 7))
	for name, end := range map[string]func(db *gorm.DB, user *User) error{
		"step by step": func(db *gorm.DB, _ *User) error {
			tokens, _ := stores(t, db)
			return tokens.Revoke(underway.Shorten(t.Context(), 0), gormstore.RevokeOptions{ClientID: "Client"})
		},
		"in one step": func(db *gorm.DB, user *User) error {
			consents, err := gormstore.NewConsents[oauthtest.Consent, Token, AuthorizationCode](db)
			require.NoError(t, err)
			return consents.Revoke(t.Context(), user.GetUserID(), "Client", time.Unix(1, 0))
		},
	} {
		db := testdb.Open(t, testdb.SQLiteGo, append(slices.Clone(allModels), &oauthtest.Consent{})...)
		var made string
		require.NoError(t, db.Raw("SELECT sql FROM sqlite_master WHERE name = 'tokens'").Scan(&made).Error)
		blind := regexp.MustCompile("(`client_id` [a-z]+(\\(\\d+\\))?)").ReplaceAllString(made, "$1 COLLATE NOCASE")
		require.NotEqual(t, made, blind)
		require.NoError(t, db.Exec("DROP TABLE tokens").Error)
		require.NoError(t, db.Exec(blind).Error)
		user := &User{}
		require.NoError(t, db.Create(user).Error)
		const others = 600 // more than a step looks for at once
		var rows []*Token
		for i := range others + 10 {
			token := models.TokenMixin{Authorization: models.Authorization{ClientID: "client"}, AccessToken: rand.Text()}
			if i >= others {
				token.ClientID = "Client"
			}
			rows = append(rows, &Token{UserID: &user.ID, TokenMixin: token})
		}
		require.NoError(t, db.CreateInBatches(rows, 100).Error)
		require.NoError(t, end(db, user), name)
		var alive []string
		require.NoError(t, db.Model(&Token{}).Where("refresh_token_revoked_at = 0").Pluck("client_id", &alive).Error)
		assert.Equal(t, slices.Repeat([]string{"client"}, others), alive, name)
	}
}

// lifelongTicket is a single-use credential of the program's own, some of which never expire.
type lifelongTicket struct {
	ID                uint
	Digest            string `gorm:"uniqueIndex"`
	ClientID          string
	GrantID           string
	UsedAt, ExpiresAt int64
}

func (lifelongTicket) DescribeTable() models.Table {
	return models.Table{Key: "Digest", Digests: []string{"Digest"}, SpentAt: "UsedAt", ExpiresAt: "ExpiresAt", ZeroIsForever: true, GrantID: "GrantID", ClientID: "ClientID"}
}

// What could still be exchanged ends, by the clock of any instance. What expired long ago does not
// have to be found among all that a client ever had.
func TestWhatIsUselessNeedNotEnd(t *testing.T) {
	testdb.Each(t, append(slices.Clone(allModels), &lifelongTicket{}), func(t *testing.T, db *gorm.DB) {
		now := time.Unix(1_800_000_000, 0)
		expires := map[string]int64{
			"valid": now.Unix() + 60, "expired": now.Unix() - 60, "nearly an hour": now.Unix() - 3599,
			"an hour": now.Unix() - 3600, "long ago": now.Unix() - 86400, "never": 0,
		}
		user := &User{}
		require.NoError(t, db.Create(user).Error)
		for name, expiresAt := range expires {
			code := models.AuthorizationCodeMixin{Authorization: models.Authorization{ClientID: "client", GrantID: "grant " + name}, Code: name, ExpiresAt: expiresAt}
			require.NoError(t, db.Omit("User").Create(&AuthorizationCode{UserID: user.ID, AuthorizationCodeMixin: code}).Error)
			require.NoError(t, db.Create(&lifelongTicket{Digest: name, ClientID: "client", ExpiresAt: expiresAt}).Error)
		}
		require.NoError(t, db.Create(&Token{TokenMixin: models.TokenMixin{Authorization: models.Authorization{ClientID: "client", GrantID: "grant long ago"}, AccessToken: "t"}}).Error)
		tokens, _ := stores(t, db)
		tickets, err := gormstore.NewTable[lifelongTicket](db)
		require.NoError(t, err)
		require.NoError(t, tokens.Revoke(underway.Shorten(t.Context(), 0), gormstore.RevokeOptions{ClientID: "client", Time: now, More: []gormstore.Erasable{tickets}}))
		left := func(model any, key, spent string) (names []string) {
			require.NoError(t, db.Model(model).Where(spent+" = 0").Order(key).Pluck(key, &names).Error)
			return names
		}
		assert.Equal(t, []string{"an hour", "long ago", "never"}, left(&AuthorizationCode{}, "code", "redeemed_at"), "a code that expires at 0 has expired")
		assert.Equal(t, []string{"an hour", "long ago"}, left(&lifelongTicket{}, "digest", "used_at"))
		assert.Empty(t, left(&Token{}, "access_token", "refresh_token_revoked_at"))
	})
}

// wholeToken has a hook that needs a row with all of its columns.
type wholeToken struct {
	ID     uint
	UserID uint
	models.TokenMixin
}

func (wholeToken) TableName() string { return "tokens" }

var errPart = errors.New("a hook was shown a part of a row")

func (t *wholeToken) AfterFind(*gorm.DB) error {
	if t.Scope == "" {
		return errPart
	}
	return nil
}

// Ending reads only some columns, which the program's hooks do not see.
func TestEndingShowsNoPartsOfRowsToHooks(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, &wholeToken{})
	tokens, err := gormstore.NewTokens[wholeToken](db)
	require.NoError(t, err)
	for _, grantID := range []string{"", "g"} {
		row := models.TokenMixin{Authorization: models.Authorization{ClientID: "c", GrantID: grantID}, AccessToken: rand.Text(), Scope: "s"}
		require.NoError(t, db.Create(&wholeToken{TokenMixin: row}).Error)
	}
	require.NoError(t, tokens.Revoke(underway.Shorten(t.Context(), 0), gormstore.RevokeOptions{ClientID: "c"}))
	var alive int64
	require.NoError(t, db.Model(&wholeToken{}).Where("refresh_token_revoked_at = 0").Count(&alive).Error)
	assert.Zero(t, alive)
}

// What ended in an attempt whose COMMIT was not answered is counted. What ended in one that was undone is not, as it
// may have ended otherwise before the next.
func TestWhatEndedIsCountedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		fault     faults.Fault
		meanwhile bool
		told      []int64
	}{
		"no fault":                     {faults.Fault{}, false, []int64{3}},
		"no answer":                    {faults.Fault{Err: faults.ErrCut, After: true}, false, []int64{3}},
		"a connection cut before":      {faults.Fault{Err: faults.ErrCut}, false, []int64{3}},
		"a collision":                  {faults.Fault{Err: faults.ErrSerialization}, false, []int64{3}},
		"a collision with who ends it": {faults.Fault{Err: faults.ErrSerialization}, true, []int64{0}},
	} {
		testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
			for range 3 {
				row := models.TokenMixin{Authorization: models.Authorization{ClientID: "client", GrantID: rand.Text()}, AccessToken: rand.Text()}
				require.NoError(t, db.Create(&Token{TokenMixin: row}).Error)
			}
			failed, ended := false, false
			observed := faults.DB(db, &faults.Plan{Next: func(call faults.Call) faults.Fault {
				switch {
				case call.SQL == "COMMIT" && !failed:
					failed = true
					return c.fault
				case call.SQL == "BEGIN" && failed && !ended && c.meanwhile:
					ended = true
					require.NoError(t, db.Model(&Token{}).Where("1 = 1").Update("refresh_token_revoked_at", 1).Error)
				}
				return faults.Fault{}
			}})
			tokens, _ := stores(t, observed)
			var told []int64
			require.NoError(t, tokens.Revoke(underway.Shorten(t.Context(), 0), gormstore.RevokeOptions{ClientID: "client", Report: func(n int64) { told = append(told, n) }}))
			assert.True(t, failed, name)
			assert.Equal(t, c.told, slices.Compact(told), name)
		})
	}
}
