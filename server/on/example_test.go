package on_test

import (
	"context"
	"log"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/on"
)

// A program counts what was issued, and is told when a credential was stolen.
func Example() {
	var srv *server.Server // see server.New
	var issued func(clientID string)
	_ = func() error {
		return srv.Register(
			on.TokenIssued(func(_ context.Context, req *server.Request, _ *models.TokenMixin) {
				issued(req.Client.GetClientID())
			}),
			on.TokenRevoked(func(_ context.Context, _ *server.Request, revocation server.Revocation) {
				if revocation.Reuse {
					log.Printf("a credential of user %s at client %s was used twice", revocation.UserID, revocation.ClientID)
				}
			}),
		)
	}
}
