// Package kit runs the conformance kit on the models of the tests. It brings no driver.
package kit

import (
	"testing"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore/storetest"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
)

// Run runs the whole conformance kit on the instances of one database.
func Run(t *testing.T, instances []*gorm.DB) {
	t.Helper()
	storetest.Run[oauthtest.User, oauthtest.Client, oauthtest.Token, oauthtest.AuthorizationCode](t, storetest.Config{DB: instances[0], Instances: instances[1:], Parts: []storetest.Part{
		storetest.DeviceCodes[oauthtest.DeviceCode](), storetest.PushedRequests[oauthtest.PushedRequest](),
		storetest.Replays[oauthtest.Replay](), storetest.Registrations[oauthtest.Client, oauthtest.Token](),
		storetest.Sessions[oauthtest.Session, oauthtest.Logout, oauthtest.Token, oauthtest.AuthorizationCode](),
		storetest.Consents[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](),
	}})
}
