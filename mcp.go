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
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/resource"
)

// MCPConfig holds the settings of [MCP].
type MCPConfig struct {
	// Server is the configuration of the authorization server; its Issuer is required.
	Server server.Config
	// Resource is the URL of the MCP server, such as "https://example.com/mcp". Tokens are issued
	// only for it.
	Resource string
	// API is the client id of the MCP server if it is another program, which introspects tokens
	// at the authorization server (RFC 7662); empty is none. Create the client with
	// [CreateClientFactory], confidential and without grant types.
	API string
	// Scopes are all scopes of the server. A client that registers none may ask for all of them.
	Scopes []string
	// Fetcher gets the metadata documents of clients; nil is one that only reaches public
	// addresses, with the TLS settings of [fapi.TLSConfig] if there is a security profile.
	Fetcher *fetch.Fetcher
}

// MCPServer is an authorization server, together with the protection of an MCP server.
type MCPServer struct {
	*server.Server
	// Protector protects the MCP server:
	//
	//	mux.Handle("/mcp", mcp.Protector.Require("tools")(handler))
	Protector *resource.Protector
}

// MCP returns the authorization server of an MCP server (Model Context Protocol, Authorization).
// It has everything of [New], clients that are identified by metadata documents, tokens that are
// only for the MCP server (RFC 8707), and a protector that tells a client without a token where
// to get one (RFC 9728). It needs the parts [Clients], [Tokens], [AuthorizationCodes] and
// [Users]; add [Registration] for clients that need it. Serve all of [MCPServer.Routes], and the
// authorization endpoint with a page of your own. MCP returns all faults at once.
func MCP(db *gorm.DB, config MCPConfig, parts ...Part) (*MCPServer, error) {
	if config.Server.ScopesSupported == nil {
		config.Server.ScopesSupported = config.Scopes
	}
	needs := func(a *assembly) error { a.need("MCP", "Clients", "Tokens", "AuthorizationCodes"); return nil }
	a := assemble(db, config.Server, append(slices.Clone(parts), needs)...)
	address, err := mcpAddress(config.Resource)
	a.fault(err)
	if config.Fetcher == nil {
		config.Fetcher = a.fetcher()
	}
	scope := strings.Join(config.Scopes, " ")
	for _, registration := range a.registrations {
		registration.DefaultScope = scope
	}
	if config.API != "" && a.introspection != nil {
		a.introspection.APIs = map[string][]string{config.API: {address}}
	}
	if a.documents != nil {
		a.hooks = append(a.hooks, &clientauth.MetadataDocuments{Storage: a.documents, Fetcher: config.Fetcher, Scope: scope})
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

// mcpAddress returns the URL of an MCP server. If it is invalid, it returns an error together
// with a valid URL, so that the rest of the configuration is checked without repeating the fault.
func mcpAddress(resource string) (string, error) {
	if _, err := weburi.ParseServed(resource); err != nil {
		return "https://mcp.invalid/", fmt.Errorf("gormoauth: MCPConfig.Resource: %q %w", resource, err)
	}
	return resource, nil
}

// Routes returns the paths of everything except the authorization endpoint and the MCP server
// itself, each with its handler.
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
