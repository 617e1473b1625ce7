package grant_test

import (
	"context"
	"fmt"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/grant"
)

func ExampleCodeChallenge() {
	var srv server.Server
	err := srv.RegisterGrant(&grant.AuthorizationCode{
		SaveAuthorizationCode: func(context.Context, *models.AuthorizationCodeMixin, *server.Request) error { return nil },
		QueryAuthorizationCode: func(context.Context, string) (*grant.StoredAuthorizationCode, error) {
			return nil, nil
		},
	}, grant.CodeChallenge{}) // which comes by itself: who needs it server.Config.PKCE says
	fmt.Println(err)
	// Output: <nil>
}
