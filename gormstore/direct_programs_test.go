package gormstore_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// program is a program that could notice that the library sends a statement itself.
type program struct {
	model  any
	life   func(t *testing.T, p *played)
	handle func(db *gorm.DB) *gorm.DB // nil for one that adds nothing
	later  func(p *played)            // before the last round; nil for nothing
}

// played is a program that runs.
type played struct {
	db      *gorm.DB
	ctx     context.Context //nolint:containedctx // of all calls
	later   func(p *played)
	answers []any
}

func (p *played) answer(value any, err error) {
	p.answers = append(p.answers, value, fmt.Sprint(err))
}

// rounds runs f three times; the last time, statements are known.
func (p *played) rounds(f func(round string)) {
	f("1")
	f("2")
	if p.later != nil {
		p.later(p)
	}
	f("3")
}

type (
	unkeyedToken struct {
		UserID *uint
		models.TokenMixin
	}
	partedToken struct {
		ID     uint
		UserID *uint
		models.TokenMixin
		More *parted `gorm:"embedded;embeddedPrefix:more_"`
	}
	parted struct {
		Text   string
		Preset string `gorm:"default:q"`
		Flag   *bool  `gorm:"default:true"`
		Made   int64  `gorm:"autoCreateTime"`
	}
	limitedToken struct {
		ID     uint
		UserID *uint
		models.TokenMixin
		Created string `gorm:"<-:create;default:c"`
		Updated string `gorm:"<-:update"`
	}
	presetClient struct {
		ID uint
		models.ClientMixin
		Level     tier `gorm:"default:1"`
		UpdatedAt time.Time
	}
)

// tier is stored as another text than GORM stores for the default of a tag.
type tier int

func (tier) GormDataType() string { return "text" }

// Value is of [driver.Valuer].
func (l tier) Value() (driver.Value, error) { return strings.Repeat("I", int(l)), nil }

// Scan is of [database/sql.Scanner].
func (l *tier) Scan(value any) error {
	*l = tier(len(fmt.Sprint(value)))
	return nil
}

// lifeOfTokens does what happens to tokens.
func lifeOfTokens[M any, P gormstore.TokenModel[M]](t *testing.T, p *played) {
	t.Helper()
	tokens, err := gormstore.NewTokens[M, P](p.db)
	require.NoError(t, err)
	p.rounds(func(round string) {
		record := func(access, refresh string) *models.TokenMixin {
			return &models.TokenMixin{Authorization: models.Authorization{ClientID: "mine"}, AccessToken: access + round, RefreshToken: new(refresh + round)}
		}
		for range 2 { // the second is a duplicate
			p.answer(nil, tokens.Save(p.ctx, issueOf(record("a", "r"), storage.UserID("7"))))
		}
		found, err := tokens.Query(p.ctx, storage.TokenQuery{RefreshToken: "r" + round})
		p.answer(found, err)
		if found != nil {
			before := *found.Token.(P).AsTokenMixin() // it has a pointer to the refresh token
			p.answer(found, tokens.Save(p.ctx, storage.Exchange{Kind: storage.ExchangeRotate, From: found.Token, Presented: "r" + round, Token: record("b", "n")}))
			assert.Equal(t, "r"+round, *before.RefreshToken)
		}
		p.answer(nil, tokens.RevokeToken(p.ctx, "b"+round, time.Unix(5, 0)))
		p.answer(tokens.Query(p.ctx, storage.TokenQuery{AccessToken: "b" + round}))
	})
}

// lifeOfClients creates a client with values of its own and one without, and changes both.
func lifeOfClients(t *testing.T, p *played) {
	t.Helper()
	factory, err := gormstore.NewClientFactory[presetClient](p.db, newProvider(t, testdb.Open(t, testdb.SQLiteGo, allModels...)).Server)
	require.NoError(t, err)
	clients, err := gormstore.NewClients[presetClient](p.db)
	require.NoError(t, err)
	p.rounds(func(round string) {
		for _, client := range []*presetClient{{Level: 3, UpdatedAt: time.Unix(6, 0).UTC()}, {}} {
			client.ClientID = fmt.Sprint("client", client.Level, round)
			client.ClientMetadata = models.ClientMetadata{TokenEndpointAuthMethod: models.None, RedirectURIs: []string{"https://a.example/"}}
			_, err := factory.Create(p.ctx, client)
			p.answer(*client, err)
			p.answer(nil, factory.SetAPIResources(p.ctx, client.ClientID, "https://api.example"))
			p.answer(clients.Query(p.ctx, client.ClientID))
		}
	})
}

type branchKey struct{}

// branches is a dialector that notes in a statement for which branch of the business it is.
type branches struct{ gorm.Dialector }

// BindVarTo writes the branch before a value.
func (d branches) BindVarTo(into clause.Writer, statement *gorm.Statement, value any) {
	_, _ = into.WriteString(fmt.Sprint("/* ", statement.Context.Value(branchKey{}), " */ "))
	d.Dialector.BindVarTo(into, statement, value)
}

// mine is a value that is NULL at times.
type mine struct{ value *any }

// Value is of [driver.Valuer].
func (m mine) Value() (driver.Value, error) { return *m.value, nil }

// String is its text.
func (m mine) String() string { return fmt.Sprint(*m.value) }

// A program has the same answers, rows and log whether the library sends statements itself or GORM
// does everything.
func TestAProgramDoesNotNoticeWhoSendsAStatement(t *testing.T) {
	var client any
	tokens := func(handle func(db *gorm.DB) *gorm.DB, later func(p *played)) program {
		return program{&PlainToken{}, lifeOfTokens[PlainToken], handle, later}
	}
	exec := func(statements ...string) func(p *played) {
		return func(p *played) {
			for _, statement := range statements {
				require.NoError(t, p.db.Exec(statement).Error)
			}
		}
	}
	for what, of := range map[string]program{
		"nothing of its own":        tokens(nil, nil),
		"a model without a key":     {&unkeyedToken{}, lifeOfTokens[unkeyedToken], nil, nil},
		"an embedded pointer":       {&partedToken{}, lifeOfTokens[partedToken], nil, nil},
		"fields with permissions":   {&limitedToken{}, lifeOfTokens[limitedToken], nil, nil},
		"a default with a Value":    {&presetClient{}, lifeOfClients, nil, nil},
		"times that are always set": {&presetClient{}, lifeOfClients, func(db *gorm.DB) *gorm.DB { return db.Set("gorm:update_track_time", true) }, nil},
		"a column that comes":       tokens(nil, exec("ALTER TABLE plain_tokens ADD COLUMN more text DEFAULT 'm'")),
		"a column that goes":        tokens(nil, exec("ALTER TABLE plain_tokens DROP COLUMN actor")),
		"a value that is NULL later": tokens(func(db *gorm.DB) *gorm.DB {
			client = "mine"
			return db.Where(map[string]any{"client_id": mine{&client}})
		}, func(*played) { client = nil }),
		"a column that is another later": tokens(func(db *gorm.DB) *gorm.DB {
			client = "client_id"
			return db.Where(clause.Eq{Column: mine{&client}, Value: "mine"})
		}, func(*played) { client = "grant_id" }),
		"a dialector of its own": tokens(func(db *gorm.DB) *gorm.DB {
			config := *db.Config
			config.Dialector, config.ClauseBuilders = branches{config.Dialector}, nil
			own := db.Session(&gorm.Session{})
			own.Config = &config
			return own
		}, func(p *played) { p.ctx = context.WithValue(p.ctx, branchKey{}, "b") }),
		"a builder that comes": tokens(nil, func(p *played) {
			p.db.ClauseBuilders["VALUES"] = func(c clause.Clause, builder clause.Builder) {
				_, _ = builder.WriteString("/* its own */")
				c.Name = ""
				c.Build(builder)
			}
		}),
	} {
		t.Run(what, func(t *testing.T) {
			play := func(prepare func(db *gorm.DB)) (p *played, said []string, rows []map[string]any) {
				db, log := testdb.Open(t, testdb.SQLiteGo, of.model), &statementLog{Interface: logger.Discard}
				prepare(db)
				p = &played{db: db.Session(&gorm.Session{Logger: log, NowFunc: func() time.Time { return time.Unix(9, 0).UTC() }}), ctx: t.Context(), later: of.later}
				if of.handle != nil {
					p.db = of.handle(p.db)
				}
				of.life(t, p)
				require.NoError(t, db.Model(of.model).Find(&rows).Error)
				return p, log.all, rows
			}
			own, said, rows := play(func(*gorm.DB) {})
			byGORM, saidByGORM, rowsByGORM := play(func(db *gorm.DB) { registerAtAll(t, db, func(*gorm.DB) {}) })
			assert.Equal(t, byGORM.answers, own.answers)
			assert.Equal(t, rowsByGORM, rows)
			assert.Equal(t, saidByGORM, said)
			assert.NotEmpty(t, rows)
		})
	}
}

// All times that GORM sets in a row are one instant.
func TestTheTimesOfARowAreOneInstant(t *testing.T) {
	now := time.Unix(0, 0).UTC()
	db := testdb.Open(t, testdb.SQLiteGo, &datedToken{}).Session(&gorm.Session{NowFunc: func() time.Time { now = now.Add(time.Second); return now }})
	tokens, err := gormstore.NewTokens[datedToken](db)
	require.NoError(t, err)
	for _, name := range []string{"1", "2"} {
		require.NoError(t, tokens.Save(t.Context(), issueOf(&models.TokenMixin{AccessToken: name}, nil)))
		found, err := tokens.Query(t.Context(), storage.TokenQuery{AccessToken: name})
		require.NoError(t, err)
		row := found.Token.(*datedToken)
		assert.False(t, row.CreatedAt.IsZero())
		assert.Equal(t, row.CreatedAt, row.UpdatedAt)
	}
}
