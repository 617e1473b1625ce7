package clientauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fetch"
)

// MetadataDocuments has clients whose client id is the https address of their
// metadata (OAuth Client ID Metadata Document,
// draft-ietf-oauth-client-id-metadata-document): a client that nobody has
// registered is known by who serves that address. Register it, and have it find
// the clients:
//
//	documents := gormoauth.CreateMetadataDocuments[Client](db, fetch.New(fetch.Options{}))
//	srv, err := gormoauth.New(db, server.Config{QueryClient: documents.Query, …}, …)
//	err = srv.Register(documents)
//
// Such a client is a public one, or signs with a key of its own. It gets a row
// with its first token. The page that asks for consent should show the host of
// its id and of its redirect URI: its name is its own choice.
type MetadataDocuments struct {
	// QueryClient finds the clients that have a row.
	QueryClient server.QueryClientFunc
	// Storage keeps those that got a token.
	Storage server.ClientDocumentStorage
	// Fetcher gets the documents.
	Fetcher *fetch.Fetcher
	// Scope is what such a client may ask for that names no scope of its own, and
	// the most that any may ask for; empty is nothing.
	Scope string
	// Check is the operator's own say: it may change the metadata, or refuse the
	// client by an error, which goes to the log. nil takes what is valid.
	Check func(ctx context.Context, clientID *url.URL, metadata *models.ClientMetadata) error
	// CacheFor is for how long a document counts once it was fetched; 0 is an hour.
	CacheFor time.Duration
	// KeepFor is for how long it counts while it cannot be fetched; 0 is a day.
	KeepFor time.Duration
	// Logger gets what is wrong with a document; nil logs nothing.
	Logger *slog.Logger
	// Clock tells the time; nil is time.Now.
	Clock func() time.Time

	server *server.Server
}

const (
	defaultCacheDocuments = time.Hour
	defaultKeepDocuments  = 24 * time.Hour
	maxDocument           = 16 << 10
	maxDocumentURL        = 1024
)

// CheckConfig names what is missing.
func (m *MetadataDocuments) CheckConfig(*server.Config) error {
	if m.QueryClient == nil || m.Storage == nil || m.Fetcher == nil {
		return errors.New("clientauth: MetadataDocuments.QueryClient, Storage or Fetcher is missing: write gormoauth.CreateMetadataDocuments[Client](db, fetch.New(fetch.Options{}))")
	}
	return nil
}

// CheckRegistration notes the server to whose rules documents are held.
func (m *MetadataDocuments) CheckRegistration(s *server.Server) error {
	m.server = s
	return nil
}

// PrepareMetadata says that documents are taken.
func (*MetadataDocuments) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata["client_id_metadata_document_supported"] = true
}

// IsDocumentURL reports whether a client id is the address of a document: https,
// with a path, and in no other spelling than its own. http is for loopback
// addresses, which a fetcher refuses unless private addresses are allowed.
func IsDocumentURL(clientID string) bool {
	u, err := weburi.ParseAddress(clientID)
	if err != nil || strings.Contains(clientID, "#") || len(clientID) > maxDocumentURL || strings.Trim(u.Path, "/") == "" {
		return false
	}
	segments := strings.Split(u.Path, "/")
	return !slices.Contains(segments, ".") && !slices.Contains(segments, "..")
}

// Query finds a client, by its row or by its document; it is a
// [server.QueryClientFunc].
func (m *MetadataDocuments) Query(ctx context.Context, clientID string) (server.Client, error) {
	stored, err := m.QueryClient(ctx, clientID)
	if err != nil || !IsDocumentURL(clientID) {
		return stored, err
	}
	now := m.now()
	var row *models.ClientMixin
	if registered, ok := stored.(server.RegisteredClient); ok {
		row = registered.AsClientMixin()
		if row.ClientSource != models.ClientByDocument || within(row, m.CacheFor, defaultCacheDocuments, now) {
			return stored, nil
		}
	}
	text, err := m.Fetcher.Get(ctx, clientID)
	switch {
	case err == nil:
	case row != nil && within(row, m.KeepFor, defaultKeepDocuments, now):
		m.log(ctx, clientID, err)
		return stored, nil
	case errors.Is(err, fetch.ErrRefused):
		m.log(ctx, clientID, err)
		return nil, nil
	default:
		return nil, err
	}
	metadata, err := m.read(ctx, clientID, text)
	if err != nil {
		m.log(ctx, clientID, err)
		return nil, nil
	}
	if row != nil {
		row.ClientMetadata, row.DocumentFetchedAt = *metadata, now.Unix()
		return stored, m.Storage.UpdateDocumentClient(ctx, row)
	}
	key, long := models.SplitClientID(clientID)
	return m.Storage.DocumentClient(&models.ClientMixin{
		ClientID: key, LongClientID: long, ClientMetadata: *metadata, ClientSource: models.ClientByDocument, DocumentFetchedAt: now.Unix(),
	}), nil
}

func (m *MetadataDocuments) now() time.Time {
	if m.Clock == nil {
		return time.Now()
	}
	return m.Clock()
}

func (m *MetadataDocuments) log(ctx context.Context, clientID string, err error) {
	if m.Logger != nil {
		m.Logger.InfoContext(ctx, "a client's metadata document was refused", slog.String("client_id", clientID), slog.String("error", err.Error()))
	}
}

// within reports whether a document was fetched no longer ago than it may be.
func within(row *models.ClientMixin, life, otherwise time.Duration, now time.Time) bool {
	if life == 0 {
		life = otherwise
	}
	return now.Unix()-row.DocumentFetchedAt < int64(life/time.Second)
}

// read holds a document to what such a client may be.
func (m *MetadataDocuments) read(ctx context.Context, clientID string, text []byte) (*models.ClientMetadata, error) {
	if len(text) > maxDocument {
		return nil, fmt.Errorf("the document is longer than %d bytes", maxDocument)
	}
	metadata := new(models.ClientMetadata)
	if err := json.Unmarshal(text, metadata); err != nil {
		return nil, err
	}
	var named string
	if json.Unmarshal(metadata.Extra["client_id"], &named) != nil || named != clientID {
		return nil, errors.New("the document is of another client_id")
	}
	for _, member := range []string{"client_secret", "client_secret_expires_at"} {
		if _, given := metadata.Extra[member]; given {
			return nil, fmt.Errorf("the document has a %s, which everybody could read", member)
		}
	}
	delete(metadata.Extra, "client_id")
	switch metadata.TokenEndpointAuthMethod {
	case "":
		metadata.TokenEndpointAuthMethod = models.None
	case models.None, models.PrivateKeyJWT:
	default:
		return nil, fmt.Errorf("the token_endpoint_auth_method %.40q is none of a client without a secret", metadata.TokenEndpointAuthMethod)
	}
	complete(metadata, m.Scope)
	registered := m.server
	if registered == nil {
		registered = new(server.Server) // which is no more permissive
	}
	if err := registered.ValidateClientMetadata(metadata, models.ClientByDocument); err != nil {
		return nil, err
	}
	if m.Check != nil {
		address, err := url.Parse(clientID)
		if err != nil {
			return nil, err
		}
		if err := m.Check(ctx, address, metadata); err != nil {
			return nil, err
		}
	}
	return metadata, nil
}

// complete leaves of the grant types those in which a user consents, and of the
// scope what the operator allows.
func complete(metadata *models.ClientMetadata, allowed string) {
	if metadata.GrantTypes == nil {
		metadata.GrantTypes = []string{"authorization_code"}
	}
	consented := []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"}
	metadata.GrantTypes = slices.DeleteFunc(metadata.GrantTypes, func(grantType string) bool { return !slices.Contains(consented, grantType) })
	metadata.ResponseTypes = nil
	if slices.Contains(metadata.GrantTypes, "authorization_code") {
		metadata.ResponseTypes = []string{"code"}
	}
	if metadata.Scope == "" {
		metadata.Scope = allowed
	}
	known := strings.Fields(allowed)
	metadata.Scope = strings.Join(slices.DeleteFunc(strings.Fields(metadata.Scope), func(scope string) bool { return !slices.Contains(known, scope) }), " ")
}

// TokenIssued stores a client that got its first token.
func (m *MetadataDocuments) TokenIssued(ctx context.Context, req *server.Request, _ *models.TokenMixin) {
	registered, ok := req.Client.(server.RegisteredClient)
	if !ok || registered.AsClientMixin().ClientSource != models.ClientByDocument || registered.AsClientMixin().ClientIDIssuedAt != 0 {
		return
	}
	record := *registered.AsClientMixin()
	record.ClientIDIssuedAt = req.Time.Unix()
	if err := m.Storage.SaveDocumentClient(ctx, &record); err != nil { // the next token tries again
		req.Server.Logger().ErrorContext(ctx, "a client of a document could not be stored", slog.String("error", err.Error()))
	}
}
