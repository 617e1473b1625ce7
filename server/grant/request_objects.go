package grant

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fetch"
)

// RequestObjects lets clients sign their authorization requests (RFC 9101), so
// that nobody changes them on their way through the browser. Register it for
// every request:
//
//	srv.Register(&grant.RequestObjects{Replays: gormoauth.CreateReplayStorage[Replay](db)})
//
// A request object lasts an hour at most and is good for one decision. Its client
// signs it by one of the keys that it registered; what stands beside it in the
// request means nothing.
type RequestObjects struct {
	// Replays remembers which were used.
	Replays server.ReplayStorage
	// Fetcher gets the key sets of clients with a jwks_uri, and request objects that
	// a client keeps at a request_uri which it registered; nil refuses both.
	Fetcher *fetch.Fetcher
	// Decryption has the keys for which clients encrypt; nil refuses what is
	// encrypted.
	Decryption server.DecryptionKeys
	// Algorithms are those by which clients may sign; nil is
	// [server.SignatureAlgorithms].
	Algorithms []jose.SignatureAlgorithm
	// AllowChangingRequestURIs takes a request_uri without the digest of the request
	// object as its fragment. A client could then show the user one request, and have
	// another one granted.
	AllowChangingRequestURIs bool
	// Required refuses requests that are not signed. Otherwise a client's metadata
	// can ask for it: require_signed_request_object.
	Required bool
}

const (
	requireSigned     = "require_signed_request_object"
	requestObjectAlg  = "request_object_signing_alg"
	requestURIsMember = "request_uris"

	requestObjectEncryptionAlg = "request_object_encryption_alg"
	requestObjectEncryptionEnc = "request_object_encryption_enc"
	maxRequestObject           = 16 << 10
)

// CheckConfig names what is missing.
func (r *RequestObjects) CheckConfig(*server.Config) error {
	if r.Replays == nil {
		return errors.New("grant: RequestObjects.Replays is missing: write gormoauth.CreateReplayStorage[Replay](db)")
	}
	return nil
}

func (r *RequestObjects) algorithms() []jose.SignatureAlgorithm {
	if r.Algorithms == nil {
		return server.SignatureAlgorithms()
	}
	return r.Algorithms
}

// PrepareMetadata says what is taken (RFC 9101 section 9, OpenID Connect
// Discovery section 3).
func (r *RequestObjects) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata["request_parameter_supported"] = true
	metadata["request_uri_parameter_supported"] = r.Fetcher != nil
	metadata["require_request_uri_registration"] = true
	if r.Required {
		metadata[requireSigned] = true
	}
	for _, algorithm := range r.algorithms() {
		metadata.Add("request_object_signing_alg_values_supported", string(algorithm))
	}
	if r.Decryption == nil {
		return
	}
	for _, algorithm := range r.Decryption.EncryptionAlgorithms() {
		metadata.Add("request_object_encryption_alg_values_supported", string(algorithm))
	}
	for _, encryption := range contentEncryptions() {
		metadata.Add("request_object_encryption_enc_values_supported", string(encryption))
	}
}

func contentEncryptions() []jose.ContentEncryption {
	return []jose.ContentEncryption{jose.A128GCM, jose.A256GCM, jose.A128CBC_HS256, jose.A256CBC_HS512}
}

// ResolveAuthorizationRequest puts what a request object says in the place of
// the request (RFC 9101 section 6).
func (r *RequestObjects) ResolveAuthorizationRequest(ctx context.Context, req *server.Request) error {
	byValue, byReference := req.Params.Get("request"), req.Params.Get("request_uri")
	switch {
	case byValue == "" && (byReference == "" || strings.HasPrefix(byReference, "urn:")): // which is no address
		return nil
	case byValue != "" && byReference != "":
		return server.NewError(server.InvalidRequest, "The request has both a 'request' and a 'request_uri'.")
	}
	client, metadata, err := requestingClient(ctx, req)
	if err != nil {
		return err
	}
	text := byValue
	if byReference != "" {
		if text, err = r.fetch(ctx, metadata, byReference); err != nil {
			return err
		}
	}
	object, err := r.verify(ctx, req, client, metadata, text)
	if err != nil {
		return err
	}
	params, err := parametersOf(object)
	if err != nil {
		return err
	}
	params.Set("client_id", client.GetClientID())
	if err := req.ReplaceParams(params); err != nil {
		return err
	}
	req.RequestObject, req.RequestURI = object, byReference
	return nil
}

// requestingClient finds the client before anything that it says is read: its
// client_id stands beside the request object (RFC 9101 section 5).
func requestingClient(ctx context.Context, req *server.Request) (server.Client, *models.ClientMetadata, error) {
	client := req.Client // who pushes a request has authenticated
	if client == nil {
		var err error
		if client, err = req.Server.QueryClient(ctx, req.Params.Get("client_id")); err != nil {
			return nil, nil, err
		}
	}
	if client == nil {
		return nil, nil, server.NewError(server.InvalidClient, "There is no such client.")
	}
	registered, ok := client.(server.RegisteredClient)
	if !ok {
		return nil, nil, fmt.Errorf("grant: RequestObjects needs what the client registered, which a %T does not tell: it must embed models.ClientMixin", client)
	}
	return client, &registered.AsClientMixin().ClientMetadata, nil
}

// fetch gets a request object from an address that the client registered. The
// address has the object's digest as its fragment (OpenID Connect Core section
// 6.2), so that what the user has looked at is what is granted.
func (r *RequestObjects) fetch(ctx context.Context, metadata *models.ClientMetadata, address string) (string, error) {
	var registered []string
	_ = json.Unmarshal(metadata.Extra[requestURIsMember], &registered) // what is no list has none
	base, digest, pinned := strings.Cut(address, "#")
	if r.Fetcher == nil || !slices.Contains(registered, address) && !slices.Contains(registered, base) {
		return "", server.NewError(server.InvalidRequestURI, "The 'request_uri' is none that the client registered and the server fetches.")
	}
	if !pinned && !r.AllowChangingRequestURIs {
		return "", server.NewError(server.InvalidRequestURI, "The 'request_uri' does not have the SHA-256 digest of the request object as its fragment.")
	}
	text, err := r.Fetcher.Get(ctx, address)
	if errors.Is(err, fetch.ErrRefused) {
		return "", server.NewError(server.InvalidRequestURI, "There is no request object at the 'request_uri'.")
	}
	if sum := sha256.Sum256(text); err == nil && pinned && base64.RawURLEncoding.EncodeToString(sum[:]) != digest {
		return "", server.NewError(server.InvalidRequestURI, "The request object at the 'request_uri' is another one than that of the digest.")
	}
	return strings.TrimSpace(string(text)), err
}

func errNoRequestObject() error {
	return server.NewError(server.InvalidRequestObject, "The request object is not one that the client signed for this server and for now.")
}

// verify returns the request object when the client signed it, for this server
// and for now.
func (r *RequestObjects) verify(ctx context.Context, req *server.Request, client server.Client, metadata *models.ClientMetadata, text string) (*server.Assertion, error) {
	if len(text) > maxRequestObject {
		return nil, errNoRequestObject()
	}
	if strings.Count(text, ".") == 4 {
		var err error
		if text, err = r.decrypt(ctx, req, text); err != nil {
			return nil, err
		}
	}
	object := server.ParseAssertion(text, r.algorithms())
	if object == nil || !slices.Contains([]string{"", "jwt", "oauth-authz-req+jwt", "application/oauth-authz-req+jwt"}, strings.ToLower(object.Type())) {
		return nil, errNoRequestObject()
	}
	var named string
	if raw, ok := object.Claims["client_id"]; ok && (json.Unmarshal(raw, &named) != nil || named != client.GetClientID()) {
		return nil, errNoRequestObject()
	}
	var algorithm string
	if raw, ok := metadata.Extra[requestObjectAlg]; ok && (json.Unmarshal(raw, &algorithm) != nil || algorithm != object.Algorithm()) {
		return nil, errNoRequestObject()
	}
	// One with a subject is a client assertion that somebody got hold of (RFC 9101
	// section 10.8).
	if object.Issuer != client.GetClientID() || object.Subject != "" || !object.IsAddressedTo(req.Server.Issuer()) || !object.IsCurrent(req.Time) {
		return nil, errNoRequestObject()
	}
	signed, err := r.Fetcher.InKeySet(ctx, metadata.JWKs, metadata.JWKsURI, object.VerifiedBy)
	if err != nil {
		return nil, err
	}
	if !signed {
		return nil, errNoRequestObject()
	}
	return object, nil
}

// decrypt reads what was encrypted for this server, and signed before (RFC 9101
// section 6.1).
func (r *RequestObjects) decrypt(ctx context.Context, req *server.Request, text string) (string, error) {
	if r.Decryption == nil {
		return "", errNoRequestObject()
	}
	encrypted, err := jose.ParseEncryptedCompact(text, r.Decryption.EncryptionAlgorithms(), contentEncryptions())
	if err != nil {
		return "", errNoRequestObject()
	}
	keys, err := r.Decryption.DecryptionKeys(ctx, req.Time)
	if err != nil {
		return "", fmt.Errorf("find the keys for which request objects are encrypted: %w", err)
	}
	for _, key := range keys.Keys {
		if key.Algorithm != encrypted.Header.Algorithm || encrypted.Header.KeyID != "" && encrypted.Header.KeyID != key.KeyID {
			continue
		}
		if plain, err := encrypted.Decrypt(key.Key); err == nil {
			return string(plain), nil
		}
	}
	return "", errNoRequestObject()
}

// parametersOf returns the claims of a request object as parameters: texts as
// they are, what is a list of texts as several, all else as JSON.
func parametersOf(object *server.Assertion) (url.Values, error) {
	params := make(url.Values)
	for name, raw := range object.Claims {
		switch name {
		case "iss", "aud", "exp", "nbf", "iat", "jti", "sub":
			continue
		case "request", "request_uri": // RFC 9101 section 4
			return nil, errNoRequestObject()
		}
		var one string
		var several []string
		switch {
		case string(raw) == "null":
		case json.Unmarshal(raw, &one) == nil:
			params.Set(name, one)
		case json.Unmarshal(raw, &several) == nil:
			params[name] = several
		default:
			params.Set(name, string(raw))
		}
	}
	return params, nil
}

// CheckAuthorizationRequest refuses a request that should have been signed. A
// pushed one was looked at when it was pushed.
func (r *RequestObjects) CheckAuthorizationRequest(_ context.Context, req *server.Request) error {
	switch {
	case req.RequestObject != nil, req.Endpoint == "authorization" && strings.HasPrefix(req.RequestURI, "urn:"), req.ResponseType == "":
		return nil
	case r.Required || server.AsksFor(req.Client, requireSigned):
		return server.NewError(server.InvalidRequest, "The authorization request must be signed (RFC 9101).")
	}
	return nil
}

// DecideAuthorizationRequest uses a request object up. Of two decisions at once
// one counts.
func (r *RequestObjects) DecideAuthorizationRequest(ctx context.Context, req *server.Request) error {
	object := req.RequestObject
	if object == nil {
		return nil
	}
	first, err := r.Replays.FirstUse(ctx, "request object "+object.ReplayKey(), object.RememberUntil())
	if err != nil {
		return fmt.Errorf("remember a request object: %w", err)
	}
	if !first {
		return server.NewError(server.InvalidRequestObject, "The request object was used before.")
	}
	return nil
}

// ClientMetadataMembers returns the members by which a client says how it signs.
func (*RequestObjects) ClientMetadataMembers() []string {
	return []string{requireSigned, requestObjectAlg, requestURIsMember, requestObjectEncryptionAlg, requestObjectEncryptionEnc}
}

// CheckClientMetadata refuses a client that could not keep to what it says.
func (r *RequestObjects) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	if err := server.CheckBoolMember(metadata, requireSigned); err != nil {
		return err
	}
	var algorithm jose.SignatureAlgorithm
	if raw, ok := metadata.Extra[requestObjectAlg]; ok && (json.Unmarshal(raw, &algorithm) != nil || !slices.Contains(r.algorithms(), algorithm)) {
		return server.NewError(server.InvalidClientMetadata, "The client metadata is not valid: %s %s.", requestObjectAlg, "is none that the server takes")
	}
	if err := r.checkEncryption(metadata); err != nil {
		return err
	}
	return nil
}

// checkEncryption refuses a client that could not encrypt as it says. That it may send
// a request object in the clear all the same is what the members mean (OpenID Connect
// Dynamic Client Registration section 2).
func (r *RequestObjects) checkEncryption(metadata *models.ClientMetadata) error {
	for _, member := range []string{requestObjectEncryptionAlg, requestObjectEncryptionEnc} {
		raw, given := metadata.Extra[member]
		if !given {
			continue
		}
		var chosen string
		known := r.Decryption != nil && json.Unmarshal(raw, &chosen) == nil
		if known && member == requestObjectEncryptionAlg {
			known = slices.Contains(r.Decryption.EncryptionAlgorithms(), jose.KeyAlgorithm(chosen))
		} else if known {
			known = slices.Contains(contentEncryptions(), jose.ContentEncryption(chosen))
		}
		if !known {
			return server.NewError(server.InvalidClientMetadata, "The client metadata is not valid: %s %s.", member, "is none that the server decrypts")
		}
	}
	return nil
}
