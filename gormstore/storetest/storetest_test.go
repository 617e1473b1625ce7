package storetest_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/gormstore/storetest"
	"github.com/gormoauth/gormoauth/internal/faults"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// Token is the token model of the tests.
type Token = oauthtest.Token

var oauthtestModels = oauthtest.Models()

func run[T any, P gormstore.TokenModel[T]](t *testing.T, config storetest.Config) {
	t.Helper()
	storetest.Run[oauthtest.User, oauthtest.Client, T, oauthtest.AuthorizationCode, *oauthtest.User, *oauthtest.Client, P](t, config)
}

// The kit again, with an audit trail, whose entry is one more statement of each transaction: most
// is refused and tried again where transactions are serializable.
func TestWithATrail(t *testing.T) {
	t.Parallel()
	t.Run(testdb.PostgresSerializable, func(t *testing.T) {
		instances := testdb.OpenInstances(t, testdb.PostgresSerializable, oauthtestModels...)
		for i, db := range instances {
			audited, err := gormstore.WithAudit[oauthtest.Audit](db)
			if err != nil {
				t.Fatal(err)
			}
			instances[i] = audited
		}
		run[Token](t, storetest.Config{DB: instances[0], Instances: instances[1:], Parts: []storetest.Part{
			storetest.Audits[oauthtest.Audit](), storetest.DeviceCodes[oauthtest.DeviceCode](),
			storetest.Sessions[oauthtest.Session, oauthtest.Logout, oauthtest.Token, oauthtest.AuthorizationCode](),
		}})
	})
}

// The kit again, on a handle with conditions that match every row. If a store's own
// conditions were joined with only one half of them, they would have no effect, whatever the engine.
func TestTheConditionsOfTheHandleStandApart(t *testing.T) {
	t.Parallel()
	instances := testdb.OpenInstances(t, testdb.SQLiteGo, oauthtestModels...)
	for i, db := range instances {
		instances[i] = []*gorm.DB{
			db.Where("1 = 1").Or("1 = 0").Session(&gorm.Session{}),
			db.Scopes(func(tx *gorm.DB) *gorm.DB { return tx.Where("1 = 0\nOR 1 = 1") }).Session(&gorm.Session{}),
		}[i%2]
	}
	run[Token](t, storetest.Config{DB: instances[0], Instances: instances[1:], Parts: []storetest.Part{
		storetest.DeviceCodes[oauthtest.DeviceCode](), storetest.PushedRequests[oauthtest.PushedRequest](),
		storetest.Replays[oauthtest.Replay](), storetest.Registrations[oauthtest.Client, oauthtest.Token](),
		storetest.Sessions[oauthtest.Session, oauthtest.Logout, oauthtest.Token, oauthtest.AuthorizationCode](),
		storetest.Consents[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](),
	}})
}

// Models for an engine that distributes rows by their keys: no key is sequential.
type (
	spreadUser struct {
		ID   string `gorm:"type:uuid;primaryKey;default:gen_random_uuid()"`
		Name string `gorm:"not null"`
	}
	spreadClient struct {
		ID string `gorm:"type:uuid;primaryKey;default:gen_random_uuid()"`
		models.ClientMixin
	}
	spreadToken struct {
		ID     string  `gorm:"type:uuid;primaryKey;default:gen_random_uuid()"`
		UserID *string `gorm:"type:uuid;index"`
		models.TokenMixin
	}
	spreadCode struct {
		ID     string `gorm:"type:uuid;primaryKey;default:gen_random_uuid()"`
		UserID string `gorm:"type:uuid;not null;index"`
		models.AuthorizationCodeMixin
	}
	spreadDevice struct {
		ID     string  `gorm:"type:uuid;primaryKey;default:gen_random_uuid()"`
		UserID *string `gorm:"type:uuid;index"`
		models.DeviceCodeMixin
	}
	spreadRequest struct {
		ID string `gorm:"type:uuid;primaryKey;default:gen_random_uuid()"`
		models.PushedRequestMixin
	}
	spreadSession struct {
		ID     string `gorm:"type:uuid;primaryKey;default:gen_random_uuid()"`
		UserID string `gorm:"type:uuid;not null;index"`
		models.SessionMixin
	}
	spreadLogout struct {
		ID string `gorm:"type:uuid;primaryKey;default:gen_random_uuid()"`
		models.LogoutMixin
	}
	spreadConsent struct {
		ID     string `gorm:"type:uuid;primaryKey;default:gen_random_uuid()"`
		UserID string `gorm:"type:uuid;not null;index"`
		models.ConsentMixin
	}
)

// GetUserID returns the primary key.
func (u *spreadUser) GetUserID() string { return u.ID }

// CockroachDB and YugabyteDB speak PostgreSQL's protocol and refuse colliding calls with
// 40001. Here one call in sixteen is refused.
func TestAnEngineThatRefusesWhateverMeets(t *testing.T) {
	t.Parallel()
	refuse := &faults.Plan{Next: func(faults.Call) faults.Fault {
		if rand.IntN(16) == 0 {
			return faults.Fault{Err: faults.ErrSerialization}
		}
		return faults.Fault{}
	}}
	var handles []*gorm.DB
	for _, db := range testdb.OpenInstances(t, testdb.Postgres, &spreadUser{}, &spreadClient{}, &spreadToken{}, &spreadCode{}, &spreadDevice{}, &spreadRequest{},
		&spreadSession{}, &spreadLogout{}, &spreadConsent{}) {
		handles = append(handles, faults.DB(db, refuse))
	}
	storetest.Run[spreadUser, spreadClient, spreadToken, spreadCode](t, storetest.Config{
		DB: handles[0], Instances: handles[1:], Parts: []storetest.Part{
			storetest.DeviceCodes[spreadDevice](), storetest.PushedRequests[spreadRequest](),
			storetest.Sessions[spreadSession, spreadLogout, spreadToken, spreadCode](), storetest.Consents[spreadConsent, spreadToken, spreadCode](),
		},
		Prepare: func(row any) {
			if user, ok := row.(*spreadUser); ok {
				user.Name = strings.Repeat("x", 3)
			}
		},
	})
}
