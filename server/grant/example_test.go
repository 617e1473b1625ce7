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
		QueryAuthorizationCode: func(context.Context, string) (*server.StoredAuthorizationCode, error) {
			return nil, nil
		},
	}, grant.CodeChallenge{OptionalForConfidentialClients: true}) // without it PKCE is demanded of all
	fmt.Println(err)
	// Output: <nil>
}
