package engines_test

import (
	"testing"

	"github.com/gormoauth/gormoauth/gormstore/storetest"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
)

func TestEveryEngine(t *testing.T) {
	for _, engine := range testdb.AllEngines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel() // most of the time one of them waits
			instances := testdb.OpenInstances(t, engine, allModels...)
			storetest.Run[oauthtest.User, oauthtest.Client, oauthtest.Token, oauthtest.AuthorizationCode](t, storetest.Config{DB: instances[0], Instances: instances[1:], Parts: []storetest.Part{
				storetest.DeviceCodes[oauthtest.DeviceCode](), storetest.PushedRequests[oauthtest.PushedRequest](),
				storetest.Replays[oauthtest.Replay](), storetest.Registrations[oauthtest.Client, oauthtest.Token](),
				storetest.Sessions[oauthtest.Session, oauthtest.Logout, oauthtest.Token, oauthtest.AuthorizationCode](),
				storetest.Consents[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](),
			}})
		})
	}
}
