package clientauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/loopback"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// MetadataDocuments has clients whose client id is the https address of their
// metadata (OAuth Client ID Metadata Document,
// draft-ietf-oauth-client-id-metadata-document): a client that nobody has
// registered is known by who serves that address. Register it:
//
//	documents := gormoauth.CreateMetadataDocuments[Client](db, fetch.New(fetch.Options{}))
//	documents.Scope = "profile email"
//	err := srv.Register(documents)
//
// Such a client is a public one, or signs with a key of its own. What its document says
// goes through [server.Server.CheckClient], as every client's metadata does. It gets a
// row with its first token. The page that asks for consent should show the host of its
// id and of its redirect URI: its name is its own choice.
//
// A client stays gone that was deleted: by the storage of client registration, or by
// soft deletion of its row. A row that is deleted by SQL leaves no mark, and the client
// may come again.
type MetadataDocuments struct {
	// Storage keeps those that got a token.
	Storage server.ClientDocumentStorage
	// Fetcher gets the documents.
	Fetcher *fetch.Fetcher
	// Scope is what such a client may ask for that names no scope of its own, and
	// the most that any may ask for; empty is nothing.
	Scope string
	// Check is the operator's own check: it may change the metadata, or refuse the
	// client by an error, which goes to the log. nil takes what is valid. It is asked
	// again about every document that is fetched again; of one that has not changed it
	// sees what it made of it before.
	Check func(ctx context.Context, clientID *url.URL, metadata *models.ClientMetadata) error
	// CacheFor is for how long a document counts once it was fetched that does not say
	// so itself (RFC 9111); 0 is an hour.
	CacheFor time.Duration
	// KeepFor is for how long it counts while it cannot be fetched; 0 is a day.
	KeepFor time.Duration
	// Attempts bounds how often documents are fetched of clients that have no row yet,
	// by network address; nil allows 300 in ten minutes, counted in this process.
	Attempts ratelimit.Limiter
}

const (
	defaultCacheDocuments = time.Hour
	defaultKeepDocuments  = 24 * time.Hour
	// unusedDocuments is for how long a client is remembered that nobody uses.
	unusedDocuments     = 30 * 24 * time.Hour
	documentAttempts    = 300
	documentAttemptsPer = 10 * time.Minute
	maxDocument         = 16 << 10
	maxDocumentURL      = 1024
)

// CheckConfig names what is missing.
func (m *MetadataDocuments) CheckConfig(*server.Config) error {
	if m.Storage == nil || m.Fetcher == nil {
		return errors.New("clientauth: MetadataDocuments.Storage or Fetcher is missing: write gormoauth.CreateMetadataDocuments[Client](db, fetch.New(fetch.Options{}))")
	}
	if m.CacheFor < 0 || m.KeepFor < 0 {
		return errors.New("clientauth: MetadataDocuments.CacheFor and KeepFor must not be negative")
	}
	if m.Attempts == nil {
		m.Attempts = ratelimit.New(documentAttempts, documentAttemptsPer)
	}
	return nil
}

// Diagnose finds that the operator has no say.
func (m *MetadataDocuments) Diagnose(_ context.Context, s *server.Server) server.Findings {
	if m.Check != nil || loopback.Serves(s.Issuer()) {
		return nil
	}
	return server.Findings{{
		Check: "documents_check", Severity: server.Hint, Where: "clientauth.MetadataDocuments.Check", Problem: "is missing",
		Consequence: "anybody who serves a document is a client, under a name of its choice",
		Remedy:      "Check: func(ctx context.Context, clientID *url.URL, metadata *models.ClientMetadata) error { … }, such as a list of hosts",
	}}
}

// PrepareMetadata says that documents are taken.
func (*MetadataDocuments) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata["client_id_metadata_document_supported"] = true
}

// IsDocumentURL reports whether a client id is the address of a document: https,
// with a path, and in no other spelling than its own. http is for loopback
// addresses, which a fetcher refuses unless private addresses are allowed.
func IsDocumentURL(clientID string) bool { return documentURLProblem(clientID) == "" }

// documentURLProblem says why a client id is not the address of a document, or returns
// nothing.
func documentURLProblem(clientID string) string {
	u, err := weburi.ParseAddress(clientID)
	switch {
	case err != nil:
		return err.Error()
	case strings.Contains(clientID, "#"):
		return "has a fragment"
	case len(clientID) > maxDocumentURL:
		return fmt.Sprintf("is longer than %d characters", maxDocumentURL)
	case strings.Trim(u.Path, "/") == "":
		return "has no path"
	}
	if segments := strings.Split(u.Path, "/"); slices.Contains(segments, ".") || slices.Contains(segments, "..") {
		return "has a segment . or .. in its path"
	}
	return ""
}

// LookUpClient finds a client by its document, unless its row is current or the
// operator's own.
func (m *MetadataDocuments) LookUpClient(ctx context.Context, s *server.Server, clientID string, found server.Client) (server.Client, error) {
	if problem := documentURLProblem(clientID); problem != "" {
		if scheme, _, ok := strings.Cut(clientID, "://"); found == nil && ok && weburi.IsWeb(strings.ToLower(scheme)) {
			return nil, server.NewReason("the client id is not the address of a metadata document", slog.String("document", clientID), slog.String("fault", "it "+problem))
		}
		return found, nil
	}
	lookup := documentLookup{m, s, clientID}
	if found == nil {
		return lookup.first(ctx)
	}
	registered, ok := found.(server.RegisteredClient)
	if !ok || registered.AsClientMixin().ClientSource != models.ClientByDocument {
		return found, nil
	}
	return lookup.again(ctx, registered)
}

// documentLookup is one look-up of a client.
type documentLookup struct {
	*MetadataDocuments
	server   *server.Server
	clientID string
}

// first finds a client that has no row. Whether somebody may sign in to it is decided by
// what its document says now; a device that asks again and again for its token is known
// by what is remembered.
func (l documentLookup) first(ctx context.Context) (server.Client, error) {
	hidden, err := l.Storage.HidesClient(ctx, l.clientID)
	if err != nil {
		return nil, err
	}
	if hidden {
		return nil, server.NewReason("the client was deleted, or the handle's condition excludes it", slog.String("document", l.clientID))
	}
	request := fetch.Request{Anew: true, Permit: l.permit}
	if req := server.RequestFromContext(ctx); req != nil && req.Endpoint == "token" {
		request.Anew = false
	}
	document, err := l.Fetcher.Fetch(ctx, l.clientID, request)
	if err != nil {
		return nil, l.refused(err)
	}
	metadata, err := l.read(ctx, document)
	if err != nil {
		return nil, l.refused(err)
	}
	record := &models.ClientMixin{ClientMetadata: *metadata, ClientSource: models.ClientByDocument}
	record.ClientID, record.LongClientID = models.SplitClientID(l.clientID)
	record.UnusedExpiresAt = 1 // it is forgotten once it is unused, see note
	l.note(record, document)
	return l.Storage.DocumentClient(record), nil
}

// again finds a client that has a row, whose document is fetched again once it no longer
// counts. A row that never went through the door does not count at all.
func (l documentLookup) again(ctx context.Context, found server.RegisteredClient) (server.Client, error) {
	row, now := found.AsClientMixin(), l.server.Now().Unix()
	if now < row.DocumentExpiresAt {
		return found, nil
	}
	document, err := l.Fetcher.Fetch(ctx, l.clientID, fetch.Request{Validator: l.validatorOf(row)})
	if err != nil {
		if keepFor := orDefault(l.KeepFor, defaultKeepDocuments); row.DocumentExpiresAt != 0 && now-row.DocumentFetchedAt < seconds(keepFor) {
			l.server.LogRefusal(ctx, l.notTaken(err))
			return found, nil
		}
		return nil, l.refused(err)
	}
	metadata := &row.ClientMetadata
	if document.NotModified {
		metadata, err = l.check(ctx, *metadata)
	} else {
		metadata, err = l.read(ctx, document)
	}
	if err != nil {
		return nil, l.refused(err)
	}
	old := *row
	row.ClientMetadata = *metadata
	l.note(row, document)
	return found, l.Storage.UpdateDocumentClient(ctx, &old, row)
}

// permit bounds what one network address can have fetched.
func (l documentLookup) permit(ctx context.Context) error {
	address := ratelimit.Key(ctx)
	if address == "" { // the program itself asks
		return nil
	}
	wait, err := l.Attempts.Allow(ctx, address)
	switch {
	case err != nil:
		return fmt.Errorf("limit the documents that are fetched: %w", err)
	case wait > 0:
		return server.TooManyRequests(wait, "These were many requests. Please try again later.")
	default:
		return nil
	}
}

// note notes when a document was fetched, until when it counts, by what it is told from the
// next one, and when the client is forgotten if nobody uses it: whoever does has it fetched.
func (l documentLookup) note(record *models.ClientMixin, document fetch.Document) {
	record.DocumentFetchedAt = l.server.Now().Unix() - seconds(document.Age)
	life := document.FreshFor
	if life == 0 {
		life = orDefault(l.CacheFor, defaultCacheDocuments)
	}
	record.DocumentExpiresAt = record.DocumentFetchedAt + seconds(life)
	if record.UnusedExpiresAt != 0 { // 0 is a row that stays
		record.UnusedExpiresAt = record.DocumentExpiresAt + seconds(max(unusedDocuments, orDefault(l.KeepFor, defaultKeepDocuments)))
	}
	if !document.NotModified {
		record.DocumentValidator = ""
	}
	if document.Validator != "" {
		record.DocumentValidator = l.offer() + document.Validator
	}
}

// validatorOf is the validator of a row's document, empty where it has none or where the
// server offers something else by now: then the whole document is looked at again.
func (l documentLookup) validatorOf(row *models.ClientMixin) string {
	if row.DocumentValidator == "" {
		return ""
	}
	validator, same := strings.CutPrefix(row.DocumentValidator, l.offer())
	if !same {
		return ""
	}
	return validator
}

// offer names what the server offers such clients, by which their documents are
// filtered.
func (l documentLookup) offer() string {
	const size = 16
	text, err := json.Marshal([]any{l.server.Metadata(), l.Scope})
	if err != nil {
		return ""
	}
	return server.Digest(string(text))[:size]
}

func orDefault(life, otherwise time.Duration) time.Duration {
	if life == 0 {
		return otherwise
	}
	return life
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// refused returns err where something failed inside. For what is wrong with a document it
// is the reason why there is no such client.
func (l documentLookup) refused(err error) error {
	var invalid *server.ClientMetadataError
	var failure *server.Error
	switch {
	case errors.As(err, &failure) && failure.Status != http.StatusBadRequest:
		return err
	case errors.As(err, &failure), errors.As(err, &invalid), errors.Is(err, fetch.ErrRefused), errors.Is(err, errDocument):
		return l.notTaken(err)
	}
	return err
}

func (l documentLookup) notTaken(err error) *server.Reason {
	return server.NewReason("the client's metadata document is not taken", slog.String("document", l.clientID), slog.String("fault", err.Error()))
}

// errDocument is for a document that is not one of such a client.
var errDocument = errors.New("clientauth: metadata document")

func invalidDocument(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errDocument}, args...)...)
}

// read holds a document to what such a client may be.
func (l documentLookup) read(ctx context.Context, document fetch.Document) (*models.ClientMetadata, error) {
	switch {
	case !document.IsJSON():
		return nil, invalidDocument("its media type is %.100q; serve it as application/json", document.MediaType)
	case len(document.Body) > maxDocument:
		return nil, invalidDocument("it is longer than %d bytes", maxDocument)
	}
	var metadata models.ClientMetadata
	if err := metadata.UnmarshalJSON(document.Body); err != nil {
		return nil, invalidDocument("%w", err)
	}
	var named string
	if strictjson.Unmarshal(metadata.Extra["client_id"], &named) != nil || named != l.clientID {
		return nil, invalidDocument("its client_id is not its own address")
	}
	for _, member := range []string{"client_secret", "client_secret_expires_at"} {
		if _, given := metadata.Extra[member]; given {
			return nil, invalidDocument("it has the member %s, which everybody could read", member)
		}
	}
	delete(metadata.Extra, "client_id")
	return l.check(ctx, metadata)
}

// check takes the metadata through the door of all clients.
func (l documentLookup) check(ctx context.Context, metadata models.ClientMetadata) (*models.ClientMetadata, error) {
	check := server.ClientCheck{Source: models.ClientByDocument, Metadata: metadata, Scope: l.Scope, DefaultScope: l.Scope}
	if l.Check != nil {
		check.Check = func(ctx context.Context, metadata *models.ClientMetadata) error {
			address, err := url.Parse(l.clientID)
			if err == nil {
				err = l.Check(ctx, address, metadata)
			}
			if err != nil {
				return invalidDocument("%w", err)
			}
			return nil
		}
	}
	return l.server.CheckClient(ctx, check)
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
		req.Server.Logger().ErrorContext(ctx, "a client of a document could not be stored", slog.String("cause", err.Error()))
	}
}
