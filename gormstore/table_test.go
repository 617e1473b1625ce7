package gormstore_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// mixinsOfModels are the mixins of package models, each with the comments of its fields.
func mixinsOfModels(t *testing.T) map[string]map[string]string {
	t.Helper()
	files, err := filepath.Glob("../models/*.go")
	require.NoError(t, err)
	found, embeds := make(map[string]map[string]string), []string(nil)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || !strings.HasSuffix(spec.Name.Name, "Mixin") && spec.Name.Name != "Authorization" {
				return true
			}
			found[spec.Name.Name] = make(map[string]string)
			for _, field := range spec.Type.(*ast.StructType).Fields.List {
				for _, name := range field.Names {
					found[spec.Name.Name][name.Name] = field.Doc.Text()
				}
				if field.Names == nil {
					embeds = append(embeds, spec.Name.Name)
				}
			}
			return true
		})
	}
	for _, mixin := range embeds {
		maps.Copy(found[mixin], found["Authorization"])
	}
	delete(found, "Authorization")
	return found
}

var (
	isDigest = regexp.MustCompile(`^\w+ is the digest of `)
	isJSON   = regexp.MustCompile(`, as (a )?JSON\b`)
	isSpent  = regexp.MustCompile(`^\w+ is when .*(was spent|got its token|decided on it)`)
)

// What a mixin says of its table is all that there is to say: pruning, erasure, spending,
// the doctor and the kit know nothing else.
func TestEveryMixinDescribesItsTable(t *testing.T) {
	known := make(map[string]models.Table)
	for _, mixin := range gormstore.Mixins {
		known[reflect.TypeOf(mixin).Elem().Name()] = mixin.DescribeTable()
	}
	all := mixinsOfModels(t)
	delete(all, "UserMixin") // whose table is the program's own
	require.ElementsMatch(t, slices.Collect(maps.Keys(all)), slices.Collect(maps.Keys(known)), "a mixin is missing in gormstore's list")
	endless := []string{"ConsentMixin", "AuditMixin"} // the one is taken back, and of the other the program says
	for name, fields := range all {
		about := known[name]
		assert.Contains(t, fields, about.Key, name)
		for field, comment := range fields {
			if isDigest.MatchString(comment) {
				assert.Contains(t, about.Digests, field, "%s.%s", name, field)
			}
			if isJSON.MatchString(comment) {
				assert.Contains(t, slices.Concat(about.JSONLists, about.JSONObjects), field, "%s.%s", name, field)
			}
			if isSpent.MatchString(comment) {
				assert.Equal(t, about.SpentAt, field, name)
			}
		}
		_, ends := fields["ExpiresAt"]
		if !slices.Contains(endless, name) {
			assert.NotEmpty(t, about.ExpiresAt, name)
		}
		if ends {
			assert.Equal(t, "ExpiresAt", about.ExpiresAt, name)
		}
		if _, redeems := fields["GrantID"]; redeems && about.SpentAt != "" {
			assert.Equal(t, "GrantID", about.GrantID, "%s: a replay ends its grant", name)
		}
		for _, field := range slices.Concat(about.Digests, about.Blank, about.Unspent, about.JSONLists, about.JSONObjects, []string{about.SpentAt, about.ExpiresAt, about.KeptAt, about.GrantID}) {
			if field != "" && field != "UserID" {
				assert.Contains(t, fields, field, name)
			}
		}
	}
}

// voucher is the credential of a grant of the program's own, in a table of its own that
// has everything that the library's have.
type voucher struct {
	ID         uint
	UserID     uint   `gorm:"index"`
	ClientID   string `gorm:"type:varchar(48)"`
	Digest     string `gorm:"type:varchar(64);not null;uniqueIndex"`
	Grant      string `gorm:"type:varchar(64)"`
	RedeemedAt int64
	ExpiresAt  int64 `gorm:"index"`
}

func (v *voucher) CheckClient(clientID string) bool { return v.ClientID == clientID }
func (v *voucher) GetGrantID() string               { return v.Grant }

func (*voucher) DescribeTable() models.Table {
	return models.Table{Key: "Digest", Digests: []string{"Digest", "Grant"}, SpentAt: "RedeemedAt", ExpiresAt: "ExpiresAt", GrantID: "Grant", OfUser: true}
}

func TestATableOfTheProgramsOwnHasTheSamePower(t *testing.T) {
	testdb.Each(t, append([]any{&voucher{}}, allModels...), func(t *testing.T, db *gorm.DB) {
		tokens, codes := stores(t, db)
		vouchers, err := gormstore.NewTable[voucher](db)
		require.NoError(t, err)
		alice, bob := &User{}, &User{}
		require.NoError(t, db.Create([]*User{alice, bob}).Error)
		now := time.Now()
		past, future := now.Add(-31*24*time.Hour).Unix(), now.Add(time.Hour).Unix()
		all := []*voucher{
			{UserID: alice.ID, Digest: "it has just ended", Grant: "alive", RedeemedAt: now.Unix() - 60, ExpiresAt: now.Unix() - 60},
			{UserID: alice.ID, Digest: "spent", Grant: "alive", RedeemedAt: past, ExpiresAt: past},
			{UserID: alice.ID, Digest: "expired", ExpiresAt: past},
			{UserID: alice.ID, Digest: "fresh", Grant: "g", ExpiresAt: future},
			{UserID: bob.ID, Digest: "bob's", ExpiresAt: future},
		}
		require.NoError(t, db.Create(all).Error)
		require.NoError(t, db.Create(&Token{TokenMixin: models.TokenMixin{Authorization: models.Authorization{GrantID: "alive"}, AccessToken: "a", ExpiresAt: future}}).Error)
		left := func() (digests []string) {
			require.NoError(t, db.Model(&voucher{}).Order("id").Pluck("digest", &digests).Error)
			return digests
		}

		require.NoError(t, gormstore.Prune(t.Context(), tokens, codes, gormstore.PruneOptions{}, vouchers))
		assert.Equal(t, []string{all[0].Digest, "fresh", "bob's"}, left())

		redeem := func(accessToken string) error {
			return tokens.Save(t.Context(), storage.Exchange{
				Kind: storage.ExchangeSpend, Token: &models.TokenMixin{Authorization: models.Authorization{GrantID: "g"}, AccessToken: accessToken}, From: all[3], Presented: "fresh", User: alice, Time: now,
			})
		}
		require.NoError(t, redeem("first"))
		require.ErrorIs(t, redeem("second"), storage.ErrSpent)

		removed, err := gormstore.Erase(underway.Shorten(t.Context(), 0), alice.GetUserID(), tokens, codes, vouchers)
		require.NoError(t, err)
		assert.EqualValues(t, 3, removed, "two vouchers and a token")
		assert.Equal(t, []string{"bob's"}, left())
	})
}

type (
	keyless  struct{ ID uint }
	loose    struct{ Digest string }
	numbered struct {
		Number int `gorm:"uniqueIndex"`
	}
	userless struct {
		Digest string `gorm:"uniqueIndex"`
	}
	twofold struct {
		ID uint
		models.ReplayMixin
		models.ConsentMixin
	}
)

func (*keyless) DescribeTable() models.Table  { return models.Table{ExpiresAt: "EndsAt"} }
func (*loose) DescribeTable() models.Table    { return models.Table{Key: "Digest"} }
func (*numbered) DescribeTable() models.Table { return models.Table{Key: "Number"} }
func (*userless) DescribeTable() models.Table { return models.Table{Key: "Digest", OfUser: true} }

// What a description has wrong is said when the table is made, all at once.
func TestADescriptionIsChecked(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo)
	for want, open := range map[string]func() error{
		"describes its table without a Key":                                       func() error { _, err := gormstore.NewTable[keyless](db); return err },
		`describes its table with ExpiresAt: "EndsAt", which is not a column`:     func() error { _, err := gormstore.NewTable[keyless](db); return err },
		"has no unique index on Digest, the Key of its table; add the tag":        func() error { _, err := gormstore.NewTable[loose](db); return err },
		"has the Key Number of type int; use a string field":                      func() error { _, err := gormstore.NewTable[numbered](db); return err },
		"has no field UserID; add UserID *uint":                                   func() error { _, err := gormstore.NewTable[userless](db); return err },
		"embeds models.ConsentMixin and models.ReplayMixin; use a separate model": func() error { return gormoauth.AutoMigrate(db, &twofold{}) },
	} {
		require.ErrorContains(t, open(), want)
	}
}

// The doctor knows a table of the program's own as well.
func TestTheDoctorKnowsATableOfTheProgramsOwn(t *testing.T) {
	testdb.Each(t, nil, func(t *testing.T, db *gorm.DB) {
		require.NoError(t, db.Exec("CREATE TABLE vouchers (id integer, user_id integer, client_id varchar(48), digest varchar(32) NOT NULL, "+
			db.Statement.Quote("grant")+" varchar(64), redeemed_at bigint, expires_at bigint)").Error)
		require.NoError(t, db.Exec("INSERT INTO vouchers (id, digest, redeemed_at, expires_at) VALUES (1, 'd', 0, 1000)").Error)
		found := diagnose(t, db, &voucher{}).String()
		assert.Contains(t, found, "has no unique index on digest")
		assert.Contains(t, found, "has rows that expired more than 30 days ago, 1 of them")
		if db.Name() != "sqlite" { // where types have no length
			assert.Contains(t, found, "vouchers.digest holds 32 characters but needs 64")
		}
	})
}
