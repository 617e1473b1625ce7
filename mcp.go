package gormoauth

import (
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/resource"
)

// MCPConfig is the settings of [MCP].
type MCPConfig struct {
	// Server is the authorization server's settings; its Issuer is required.
	Server server.Config
	// Resource is the address of the MCP server, such as
	// "https://example.com/mcp". Tokens are issued for it and nothing else.
	Resource string
	// API is the id of the client that is the MCP server, where that is another program,
	// which asks the server what a token stands for (RFC 7662); empty is none. Make it
	// by [CreateClientFactory], confidential and without grant types.
	API string
	// Scopes are the scopes that there are; a client that names none may ask for
	// all of them.
	Scopes []string
	// Fetcher gets the metadata documents of clients; nil is one that reaches public
	// addresses alone.
	Fetcher *fetch.Fetcher
}

// MCPServer is an authorization server with the protection of an MCP server.
type MCPServer struct {
	*server.Server
	// Protector guards the MCP server:
	//
	//	mux.Handle("/mcp", mcp.Protector.Require("tools")(handler))
	Protector *resource.Protector
}

// MCP returns what the users of an MCP server need (Model Context Protocol,
// Authorization): [New], clients by their metadata documents, tokens that are for
// the MCP server alone (RFC 8707), and a protector that tells a client without a
// token where to get one (RFC 9728). It needs the parts [Clients], [Tokens],
// [AuthorizationCodes] and [Users]; [Registration] is for clients that cannot do
// without it. Serve all of [MCPServer.Routes], and the authorization endpoint with
// a page of your own. Every fault is returned at once.
func MCP(db *gorm.DB, config MCPConfig, parts ...Part) (*MCPServer, error) {
	if config.Server.ScopesSupported == nil {
		config.Server.ScopesSupported = config.Scopes
	}
	needs := func(a *assembly) error { a.need("MCP", "Clients", "Tokens", "AuthorizationCodes"); return nil }
	a := assemble(db, config.Server, append(slices.Clone(parts), needs)...)
	address, err := mcpAddress(config.Resource)
	a.fault(err)
	if config.Fetcher == nil {
		config.Fetcher = fetch.New(fetch.Options{})
	}
	scope := strings.Join(config.Scopes, " ")
	for _, registration := range a.registrations {
		registration.DefaultScope = scope
	}
	if config.API != "" && a.introspection != nil {
		a.introspection.APIs = map[string][]string{config.API: {address}}
	}
	if a.documents != nil {
		documents, err := a.documents(config.Fetcher)
		if err == nil {
			documents.Scope = scope
			a.hooks = append(a.hooks, documents)
		}
		a.fault(err)
	}
	a.hooks = append(a.hooks, grant.ResourceIndicators{Resources: []string{address}, Default: address})
	protector, err := resource.NewProtector(resource.Config{
		Metadata:    &resource.Metadata{Resource: address, AuthorizationServers: []string{a.config.Issuer}, ScopesSupported: config.Scopes},
		AllowOrigin: a.config.AllowOrigin, Logger: a.config.Logger, RemoteAddress: a.config.RemoteAddress, RequestID: a.config.RequestID,
		Clock: a.config.Clock, Translator: a.config.Translator, Profile: a.config.Profile,
	}, a.validators(address)...)
	a.fault(err)
	srv, err := a.server()
	if err != nil {
		return nil, err
	}
	return &MCPServer{srv, protector}, nil
}

// mcpAddress returns the address of an MCP server, or, with what is wrong with it,
// another one: all that is made of it is about a sound one, and finds nothing more.
func mcpAddress(resource string) (string, error) {
	if _, err := weburi.ParseServed(resource); err != nil {
		return "https://mcp.invalid/", fmt.Errorf("gormoauth: MCPConfig.Resource: %q %w", resource, err)
	}
	return resource, nil
}

// Routes are the paths of everything but the authorization endpoint and the MCP
// server itself, each with its handler.
func (m *MCPServer) Routes() iter.Seq2[string, http.Handler] {
	return func(yield func(string, http.Handler) bool) {
		for _, routes := range []iter.Seq2[string, http.Handler]{m.Server.Routes(), m.Protector.Routes()} {
			for path, handler := range routes {
				if !yield(path, handler) {
					return
				}
			}
		}
	}
}
