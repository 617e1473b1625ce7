package clientauth

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// None is a public client, which names itself and proves nothing (RFC 6749
// section 2.1).
type None struct{}

// AuthMethod returns "none".
func (None) AuthMethod() string { return models.None }

// ImpliedByRegistration makes it a [server.ImplicitAuthMethod].
func (None) ImpliedByRegistration() {}

// Presented reports whether the request has a client_id and nothing that would
// prove it.
func (None) Presented(req *server.Request) bool { return onlyNamesItself(req) }

func onlyNamesItself(req *server.Request) bool {
	return req.Params.Has("client_id") && !req.Params.Has("client_secret") &&
		!req.Params.Has("client_assertion") && req.HTTP.Header.Get("Authorization") == ""
}

// AuthenticateClient returns the client of that id.
func (None) AuthenticateClient(ctx context.Context, req *server.Request, query server.QueryClientFunc) (server.Client, error) {
	return query(ctx, req.Params.Get("client_id"))
}

// storable reports whether a database can be asked for the text: parameters
// were checked when the request was parsed, a header was not.
func storable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }
