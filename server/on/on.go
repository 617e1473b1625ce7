// Package on turns functions into hooks, for programs that want to be told of what happened:
//
//	srv.Register(on.TokenIssued(func(ctx context.Context, req *server.Request, record *models.TokenMixin) { … }))
package on

import (
	"context"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// ClientAuthenticated is a function that implements [server.ClientAuthenticatedHook].
type ClientAuthenticated func(ctx context.Context, req *server.Request)

// ClientAuthenticated calls the function.
func (f ClientAuthenticated) ClientAuthenticated(ctx context.Context, req *server.Request) {
	f(ctx, req)
}

// TokenIssued is a function that implements [server.TokenIssuedHook].
type TokenIssued func(ctx context.Context, req *server.Request, record *models.TokenMixin)

// TokenIssued calls the function.
func (f TokenIssued) TokenIssued(ctx context.Context, req *server.Request, record *models.TokenMixin) {
	f(ctx, req, record)
}

// TokenRevoked is a function that implements [server.TokenRevokedHook].
type TokenRevoked func(ctx context.Context, req *server.Request, revocation server.Revocation)

// TokenRevoked calls the function.
func (f TokenRevoked) TokenRevoked(ctx context.Context, req *server.Request, revocation server.Revocation) {
	f(ctx, req, revocation)
}
