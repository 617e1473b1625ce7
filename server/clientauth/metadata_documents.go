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
	"github.com/gormoauth/gormoauth/internal/ondemand"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// MetadataDocuments supports clients whose client id is the https URL of their metadata
// (OAuth Client ID Metadata Document, draft-ietf-oauth-client-id-metadata-document). Such a
// client needs no registration: it is identified by the URL that serves its document.
// Register it:
//
//	documents := gormoauth.CreateMetadataDocuments[Client](db, fetch.New(fetch.Options{}))
//	documents.Scope = "profile email"
//	err := srv.Register(documents)
//
// Such a client is public, or signs with its own key. Its metadata is checked by
// [server.Server.CheckClient], like that of every client. It is stored in the database with
// its first token. The consent page should show the hosts of its client id and its redirect
// URI, since the client chooses its own name.
//
// A client that was deleted stays deleted, if the storage of client registration deleted it
// or its row was soft-deleted. A row that is deleted by SQL leaves no trace, so the client
// can come back.
type MetadataDocuments struct {
	// Storage stores the clients that got a token.
	Storage ClientDocumentStorage
	// Fetcher fetches the documents.
	Fetcher *fetch.Fetcher
	// Scope is the most that such a client may ask for, and the scope of a client whose
	// document has none. Empty means no scope.
	Scope string
	// Check is an additional check by the operator: it may change the metadata, or return
	// an error to refuse the client, which is logged. nil accepts all valid metadata. Check
	// is called again whenever a document is fetched again. If the document has not
	// changed, Check gets the metadata as it left them before.
	Check func(ctx context.Context, clientID *url.URL, metadata *models.ClientMetadata) error
	// CacheFor is how long a fetched document is cached if its response does not say so
	// (RFC 9111). 0 means one hour.
	CacheFor time.Duration
	// KeepFor is how long a document stays in use while it cannot be fetched again. 0 means
	// one day.
	KeepFor time.Duration
	// Attempts limits, per network address, how often documents are fetched for clients
	// that are not stored yet. nil allows 300 in ten minutes, counted in this process.
	Attempts ratelimit.Limiter

	attempts ondemand.Limiter // for Attempts, if it is nil
}

const (
	defaultCacheDocuments = time.Hour
	defaultKeepDocuments  = 24 * time.Hour
	// unusedDocuments is how long an unused client is stored.
	unusedDocuments     = 30 * 24 * time.Hour
	documentAttempts    = 300
	documentAttemptsPer = 10 * time.Minute
	maxDocument         = 16 << 10
	maxDocumentURL      = 1024
)

// CheckConfig returns an error for a missing or invalid field.
func (m *MetadataDocuments) CheckConfig(*server.Config) error {
	if m.Storage == nil || m.Fetcher == nil {
		return errors.New("clientauth: MetadataDocuments.Storage or Fetcher is missing: write gormoauth.CreateMetadataDocuments[Client](db, fetch.New(fetch.Options{}))")
	}
	if m.CacheFor < 0 || m.KeepFor < 0 {
		return errors.New("clientauth: MetadataDocuments.CacheFor and KeepFor must not be negative")
	}
	return nil
}

// Diagnose reports that Check is missing.
func (m *MetadataDocuments) Diagnose(_ context.Context, s *server.Server) finding.List {
	if m.Check != nil || loopback.Serves(s.Issuer()) {
		return nil
	}
	return finding.List{{
		Check: "documents_check", Severity: finding.Hint, Where: "clientauth.MetadataDocuments.Check", Problem: "is missing",
		Consequence: "anyone who serves a document can be a client, under any name",
		Remedy:      "Check: func(ctx context.Context, clientID *url.URL, metadata *models.ClientMetadata) error { … }, such as a list of hosts",
	}}
}

// PrepareMetadata announces that metadata documents are supported.
func (*MetadataDocuments) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata["client_id_metadata_document_supported"] = true
}

// IsDocumentURL reports whether a client id is a URL for a document: https, with a path, in
// normalized spelling. http is accepted for loopback addresses, which a fetcher refuses
// unless private addresses are allowed.
func IsDocumentURL(clientID string) bool { return documentURLProblem(clientID) == "" }

// documentURLProblem returns why a client id is not a URL for a document, or "" if it is
// one.
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

// LookUpClient finds a client by its document. It returns found unchanged if that was not
// made from a document, or if its document is still fresh.
func (m *MetadataDocuments) LookUpClient(ctx context.Context, s *server.Server, clientID string, found storage.Client) (storage.Client, error) {
	if problem := documentURLProblem(clientID); problem != "" {
		if scheme, _, ok := strings.Cut(clientID, "://"); found == nil && ok && weburi.IsWeb(strings.ToLower(scheme)) {
			return nil, reason.New("the client id is not the URL of a metadata document", slog.String("document", clientID), slog.String("fault", "it "+problem))
		}
		return found, nil
	}
	lookup := documentLookup{m, s, clientID}
	if found == nil {
		return lookup.first(ctx)
	}
	registered, ok := found.(storage.RegisteredClient)
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

// first finds a client that is not stored yet. An authorization is decided by the current
// document, so it is fetched anew; token requests, such as those of a polling device, may
// use the cached document.
func (l documentLookup) first(ctx context.Context) (storage.Client, error) {
	hidden, err := l.Storage.HidesClient(ctx, l.clientID)
	if err != nil {
		return nil, err
	}
	if hidden {
		return nil, reason.New("the client was deleted, or the handle's condition excludes it", slog.String("document", l.clientID))
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
	record.UnusedExpiresAt = 1 // it is deleted if it stays unused, see note
	l.note(record, document)
	return l.Storage.DocumentClient(record), nil
}

// again returns a client that is stored, and fetches its document again once the cached one
// has expired. A row that was never checked does not count as cached.
func (l documentLookup) again(ctx context.Context, found storage.RegisteredClient) (storage.Client, error) {
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

// permit limits how many documents one network address can cause to be fetched.
func (l documentLookup) permit(ctx context.Context) error {
	address := ratelimit.Key(ctx)
	if address == "" { // the program itself looks up the client
		return nil
	}
	wait, err := l.attempts.Or(l.Attempts, documentAttempts, documentAttemptsPer).Allow(ctx, address)
	switch {
	case err != nil:
		return fmt.Errorf("limit the documents that are fetched: %w", err)
	case wait > 0:
		return server.TooManyRequests(wait, "Too many requests were made. Please try again later.")
	default:
		return nil
	}
}

// note records when a document was fetched, when it expires, its validator, and when the
// client is deleted if it stays unused: each use fetches the document again and so extends
// that time.
func (l documentLookup) note(record *models.ClientMixin, document fetch.Document) {
	record.DocumentFetchedAt = l.server.Now().Unix() - seconds(document.Age)
	life := document.FreshFor
	if life == 0 {
		life = orDefault(l.CacheFor, defaultCacheDocuments)
	}
	record.DocumentExpiresAt = record.DocumentFetchedAt + seconds(life)
	if record.UnusedExpiresAt != 0 { // 0 means that the row stays
		record.UnusedExpiresAt = record.DocumentExpiresAt + seconds(max(unusedDocuments, orDefault(l.KeepFor, defaultKeepDocuments)))
	}
	if !document.NotModified {
		record.DocumentValidator = ""
	}
	if document.Validator != "" {
		record.DocumentValidator = l.offer() + document.Validator
	}
}

// validatorOf returns the validator of a row's document. It is empty if there is none, or
// if the server's metadata have changed since: then the whole document must be checked
// again.
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

// offer returns a digest of what the server offers such clients, which decides how their
// documents are filtered.
func (l documentLookup) offer() string {
	const size = 16
	text, err := json.Marshal([]any{l.server.Metadata(), l.Scope})
	if err != nil {
		return ""
	}
	return secret.Digest(string(text))[:size]
}

func orDefault(life, otherwise time.Duration) time.Duration {
	if life == 0 {
		return otherwise
	}
	return life
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// refused returns err if it is an internal failure. For an invalid document it returns the
// reason why there is no such client.
func (l documentLookup) refused(err error) error {
	var invalid *clientmeta.Error
	var failure *server.Error
	switch {
	case errors.As(err, &failure) && failure.Status != http.StatusBadRequest:
		return err
	case errors.As(err, &failure), errors.As(err, &invalid), errors.Is(err, fetch.ErrRefused), errors.Is(err, errDocument):
		return l.notTaken(err)
	}
	return err
}

func (l documentLookup) notTaken(err error) *reason.Reason {
	return reason.New("the client's metadata document is not accepted", slog.String("document", l.clientID), slog.String("fault", err.Error()))
}

// errDocument means that a document is not valid for such a client.
var errDocument = errors.New("clientauth: metadata document")

func invalidDocument(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errDocument}, args...)...)
}

// read parses a document and checks it.
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
		return nil, invalidDocument("its client_id is not its own URL")
	}
	for _, member := range []string{"client_secret", "client_secret_expires_at"} {
		if _, given := metadata.Extra[member]; given {
			return nil, invalidDocument("it has the member %s, which is secret, but the document is public", member)
		}
	}
	delete(metadata.Extra, "client_id")
	return l.check(ctx, metadata)
}

// check checks the metadata in the same way as those of every client.
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

// TokenIssued stores a client that gets its first token.
func (m *MetadataDocuments) TokenIssued(ctx context.Context, req *server.Request, _ *models.TokenMixin) {
	registered, ok := req.Client.(storage.RegisteredClient)
	if !ok || registered.AsClientMixin().ClientSource != models.ClientByDocument || registered.AsClientMixin().ClientIDIssuedAt != 0 {
		return
	}
	record := *registered.AsClientMixin()
	record.ClientIDIssuedAt = req.Time.Unix()
	if err := m.Storage.SaveDocumentClient(ctx, &record); err != nil { // the next token tries again
		req.LogFailure("a client with a metadata document could not be stored", err)
	}
}

// ClientDocumentStorage stores the clients whose id is the URL of their metadata document.
type ClientDocumentStorage interface {
	// DocumentClient returns a client of the program's own model that is not stored yet.
	DocumentClient(record *models.ClientMixin) storage.Client
	// HidesClient reports whether the client has a row that lookups do not return, because it was
	// deleted or a condition excludes it. Its document must not bring it back.
	HidesClient(ctx context.Context, clientID string) (bool, error)
	// SaveDocumentClient stores a client. It is no error if the client is stored already.
	SaveDocumentClient(ctx context.Context, record *models.ClientMixin) error
	// UpdateDocumentClient stores the current content of the document, unless the client was
	// updated, deleted or taken over by the operator since old was read.
	UpdateDocumentClient(ctx context.Context, old, record *models.ClientMixin) error
}
