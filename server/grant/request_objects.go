package grant

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/jwt"
	"github.com/gormoauth/gormoauth/internal/logtext"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/storage"
)

// RequestObjects lets clients sign their authorization requests (RFC 9101), so that they
// cannot be changed on their way through the browser. Register it for every request:
//
//	srv.Register(&grant.RequestObjects{Replays: gormoauth.CreateReplayStorage[Replay](db)})
//
// A client signs a request object with one of its registered keys, with its client_id as
// 'iss' and this server's issuer as 'aud'. Parameters beside the request object are
// ignored. It need not expire, and one at a request_uri can be used again and again; but
// one with a 'jti' can be used for one decision only.
type RequestObjects struct {
	// Replays remembers which request objects were used.
	Replays storage.Replays
	// Fetcher fetches the key sets of clients with a jwks_uri, and request objects from a
	// client's registered request_uris. nil refuses both.
	Fetcher *fetch.Fetcher
	// Decryption has the keys to which clients encrypt. nil refuses encrypted request
	// objects.
	Decryption jwk.DecryptionKeys
	// Algorithms are the algorithms with which clients may sign. nil means all that the
	// server accepts.
	Algorithms []jose.SignatureAlgorithm
	// Strict refuses a request object without a type or a time, or that is valid for more
	// than an hour, and accepts each for one decision only, even if it has no 'jti'. A
	// profile can require the same, except for the type, which no profile requires of
	// clients ([server.RequestObjectHook]).
	Strict bool
	// Required refuses unsigned requests. Otherwise a client's metadata can require signed
	// ones: require_signed_request_object.
	Required bool
}

const (
	requireSigned     = "require_signed_request_object"
	requestObjectAlg  = "request_object_signing_alg"
	requestURIsMember = "request_uris"

	requestObjectEncryptionAlg = "request_object_encryption_alg"
	requestObjectEncryptionEnc = "request_object_encryption_enc"
	maxRequestObject           = 16 << 10
	authorizationEndpoint      = "authorization"
	requestObjectType          = "oauth-authz-req+jwt"

	// rememberEndless is how long the 'jti' of a request object without 'exp' is
	// remembered.
	rememberEndless = 365 * 24 * time.Hour
)

// PublishedKeys returns the keys to which clients encrypt, or nil if Decryption does not
// publish its keys as [jwk.SigningKeys].
func (r *RequestObjects) PublishedKeys() jwk.SigningKeys {
	keys, _ := r.Decryption.(jwk.SigningKeys)
	return keys
}

// CheckConfig returns an error for each missing or invalid field.
func (r *RequestObjects) CheckConfig(config *server.Config) error {
	var faults []error
	if r.Replays == nil {
		faults = append(faults, errors.New("grant: RequestObjects.Replays is missing: write gormoauth.CreateReplayStorage[Replay](db)"))
	}
	return errors.Join(append(faults, jwk.CheckAlgorithms(config.Profile, "grant: RequestObjects.Algorithms", r.Algorithms...))...)
}

// PrepareMetadata says which request objects are accepted (RFC 9101 section 9, OpenID
// Connect Discovery section 3).
func (r *RequestObjects) PrepareMetadata(s *server.Server, metadata server.Metadata) {
	metadata["request_parameter_supported"] = true
	metadata["request_uri_parameter_supported"] = r.Fetcher != nil
	metadata["require_request_uri_registration"] = true
	if r.Required {
		metadata[requireSigned] = true
	}
	for _, algorithm := range s.SignatureAlgorithms(r.Algorithms) {
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

// ResolveAuthorizationRequest replaces the parameters of the request by those of its
// request object (RFC 9101 section 6).
func (r *RequestObjects) ResolveAuthorizationRequest(ctx context.Context, req *server.Request) error {
	byValue, byReference := req.Params.Get("request"), req.Params.Get("request_uri")
	switch {
	case byValue == "" && (byReference == "" || strings.HasPrefix(byReference, "urn:")): // a "urn:" is not an address
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

// requestingClient finds the client before the request object is read: the client_id is a
// parameter beside it (RFC 9101 section 5).
func requestingClient(ctx context.Context, req *server.Request) (storage.Client, *models.ClientMetadata, error) {
	client := req.Client // a client that pushes a request has authenticated
	if client == nil {
		var err error
		if client, err = req.Server.QueryClient(ctx, req.Params.Get("client_id")); err != nil {
			return nil, nil, err
		}
	}
	if client == nil {
		return nil, nil, req.NoSuchClient(server.InvalidClient)
	}
	registered, ok := client.(storage.RegisteredClient)
	if !ok {
		return nil, nil, fmt.Errorf("grant: RequestObjects needs the client's registered metadata, which a %T does not have: it must embed models.ClientMixin", client)
	}
	return client, &registered.AsClientMixin().ClientMetadata, nil
}

// fetch fetches a request object from a registered request_uri of the client. Only the
// fragment may differ: a new fragment tells that a cached request object is out of date
// (OpenID Connect Core section 6.2).
func (r *RequestObjects) fetch(ctx context.Context, metadata *models.ClientMetadata, address string) (string, error) {
	var registered []string
	_ = strictjson.Unmarshal(metadata.Extra[requestURIsMember], &registered) // a malformed member lists none
	same := func(uri string) bool { return withoutFragment(uri) == withoutFragment(address) }
	if r.Fetcher == nil || !slices.ContainsFunc(registered, same) {
		return "", server.NewError(server.InvalidRequestURI, "The 'request_uri' is not registered for this client.").With(slog.String("request_uri", logtext.URI(address)))
	}
	text, err := r.Fetcher.Get(ctx, address) // caches by the whole URI
	if errors.Is(err, fetch.ErrRefused) {
		return "", server.NewError(server.InvalidRequestURI, "The request object could not be fetched from the 'request_uri'.").BecauseOf(err)
	}
	return strings.TrimSpace(string(text)), err
}

func withoutFragment(uri string) string {
	base, _, _ := strings.Cut(uri, "#")
	return base
}

// verify returns the request object if the client signed it, for this server, and it is
// valid now.
func (r *RequestObjects) verify(ctx context.Context, req *server.Request, client storage.Client, metadata *models.ClientMetadata, text string) (*assertion.Assertion, error) {
	if len(text) > maxRequestObject {
		return nil, server.NewError(server.InvalidRequestObject, "The request object is too long.")
	}
	if strings.Count(text, ".") == 4 {
		var err error
		if text, err = r.decrypt(ctx, req, text); err != nil {
			return nil, err
		}
	}
	object, err := assertion.Parse(text, req.Server.SignatureAlgorithms(r.Algorithms))
	if err != nil {
		return nil, server.NewError(server.InvalidRequestObject, "The request object is not a JWT signed with an algorithm that the server accepts.").BecauseOf(err)
	}
	if err := r.check(req, client, metadata, object); err != nil {
		return nil, err
	}
	err = r.Fetcher.InKeySet(ctx, metadata.JWKs, metadata.JWKsURI, object.VerifyBy)
	if errors.Is(err, fetch.ErrRefused) {
		return nil, server.NewError(server.InvalidRequestObject, "The request object is not signed with a registered key of the client.").BecauseOf(err)
	}
	if err != nil {
		return nil, err
	}
	return object, nil
}

// check applies the rules of RFC 9101 section 4 and OpenID Connect Core section 6.1,
// neither of which requires 'exp', 'iat' or 'typ'.
func (r *RequestObjects) check(req *server.Request, client storage.Client, metadata *models.ClientMetadata, object *assertion.Assertion) error {
	strict, typed := r.isStrict(req.Server), object.Type() == requestObjectType
	var named, algorithm string
	rawAlgorithm, hasAlgorithm := metadata.Extra[requestObjectAlg]
	switch {
	case !typed && (r.Strict || object.Type() != "" && object.Type() != "jwt"):
		return server.NewError(server.InvalidRequestObject, "The 'typ' of the request object must be %s.", requestObjectType).With(slog.String("typ", object.Type()))
	case object.Has("client_id") && (strictjson.Unmarshal(object.Claims["client_id"], &named) != nil || named != client.GetClientID()):
		return server.NewError(server.InvalidRequestObject, "The 'client_id' of the request object does not match that of the request.").With(slog.String("client_id", named))
	case hasAlgorithm && (strictjson.Unmarshal(rawAlgorithm, &algorithm) != nil || algorithm != object.Algorithm()):
		return server.NewError(server.InvalidRequestObject, "The request object is not signed with the algorithm that the client registered as 'request_object_signing_alg'.").
			With(slog.String("algorithm", object.Algorithm()), slog.String("registered_algorithm", algorithm))
	case object.Issuer != client.GetClientID():
		return server.NewError(server.InvalidRequestObject, "The 'iss' of the request object must be the client's 'client_id'.").With(slog.String("iss", object.Issuer))
	case !typed && object.Subject == client.GetClientID(): // RFC 9101 section 10.8
		return server.NewError(server.InvalidRequestObject, "A client assertion is not a request object: leave 'sub' out, or set 'typ' to %s.", requestObjectType)
	case !object.IsAddressedTo(req.Server.Issuer()):
		return server.NewError(server.InvalidRequestObject, "The 'aud' of the request object must be the issuer of this server.").With(slog.String("audience", strings.Join(object.Audience(), " ")))
	case object.CheckTimely(req.Time) != nil:
		return server.NewError(server.InvalidRequestObject, "The request object has expired, or is not valid yet.").BecauseOf(object.CheckTimely(req.Time))
	case strict && (object.CheckCurrent(req.Time) != nil || !object.Has("iat") && !object.Has("nbf")):
		return server.NewError(server.InvalidRequestObject, "The request object must have an 'exp' within the hour, and an 'iat' or 'nbf'.").BecauseOf(object.CheckCurrent(req.Time))
	}
	return nil
}

// isStrict reports whether Strict or a profile requires strict request objects.
func (r *RequestObjects) isStrict(s *server.Server) bool {
	return r.Strict || s.HoldsRequestObjectsStrictly()
}

// decrypt decrypts a request object that was signed, then encrypted for this server (RFC
// 9101 section 6.1).
func (r *RequestObjects) decrypt(ctx context.Context, req *server.Request, text string) (string, error) {
	if r.Decryption == nil {
		return "", errNotForUs().Because("the server has no decryption keys: set RequestObjects.Decryption")
	}
	encrypted, err := jwt.ParseEncrypted(text, r.Decryption.EncryptionAlgorithms(), contentEncryptions())
	if err != nil {
		return "", errNotForUs().Because("the JWT is malformed, or encrypted with an algorithm that the server does not accept", slog.String("fault", err.Error()))
	}
	keys, err := r.Decryption.DecryptionKeys(ctx, req.Time)
	if err != nil {
		return "", fmt.Errorf("find the keys to which request objects are encrypted: %w", err)
	}
	for _, key := range keys.Keys {
		if key.Algorithm != encrypted.Header.Algorithm || encrypted.Header.KeyID != "" && encrypted.Header.KeyID != key.KeyID {
			continue
		}
		if plain, err := encrypted.Decrypt(key.Key); err == nil {
			return string(plain), nil
		}
	}
	return "", errNotForUs().Because("none of the server's keys decrypts the JWT", slog.String("kid", encrypted.Header.KeyID), slog.String("algorithm", encrypted.Header.Algorithm))
}

func errNotForUs() *server.Error {
	return server.NewError(server.InvalidRequestObject, "The request object is not encrypted for a key of this server.")
}

// parametersOf returns the claims of a request object as parameters: a string as it is, a
// list of strings as repeated parameters, anything else as JSON.
func parametersOf(object *assertion.Assertion) (url.Values, error) {
	params := make(url.Values)
	for name, raw := range object.Claims {
		switch name {
		case "iss", "aud", "exp", "nbf", "iat", "jti", "sub":
			continue
		case "request", "request_uri": // RFC 9101 section 4
			return nil, server.NewError(server.InvalidRequestObject, "The request object must not have a 'request' or 'request_uri'.")
		}
		var one string
		var several []*string // pointers, to tell null from ""
		switch {
		case string(raw) == "null":
		case strictjson.Unmarshal(raw, &one) == nil:
			params.Set(name, one)
		case strictjson.Unmarshal(raw, &several) == nil && !slices.Contains(several, nil):
			for _, text := range several {
				params.Add(name, *text)
			}
		default:
			params.Set(name, string(raw))
		}
	}
	return params, nil
}

// CheckAuthorizationRequest refuses an unsigned request that must be signed. A pushed
// request was checked when it was pushed.
func (r *RequestObjects) CheckAuthorizationRequest(_ context.Context, req *server.Request) error {
	switch {
	case req.RequestObject != nil, req.Endpoint == authorizationEndpoint && strings.HasPrefix(req.RequestURI, "urn:"), req.ResponseType == "":
		return nil
	case r.Required || clientmeta.AsksFor(req.Client, requireSigned):
		return server.NewError(server.InvalidRequest, "The authorization request must be signed (RFC 9101).")
	}
	return nil
}

// DecideAuthorizationRequest spends a request object that can be used for one decision
// only. Of two concurrent decisions only one counts.
func (r *RequestObjects) DecideAuthorizationRequest(_ context.Context, req *server.Request) error {
	object := req.RequestObject
	if object == nil || object.ID == "" && !r.isStrict(req.Server) {
		return nil
	}
	until := req.Time.Add(rememberEndless)
	if _, ends := object.Claims["exp"]; ends {
		until = object.RememberUntil()
	}
	req.Spend(storage.Spend{
		Replays: r.Replays, Key: "request object " + object.ReplayKey(), ExpiresAt: until,
		Refusal: server.NewError(server.InvalidRequestObject, "The request object was used before."),
	})
	return nil
}

// PreparePushedRequest spends a request object that its client pushes: the pushed request
// itself can be decided only once. A request that came through the browser, and is stored
// because it is long, is checked again when the user decides.
func (r *RequestObjects) PreparePushedRequest(ctx context.Context, req *server.Request, _ *models.PushedRequestMixin) error {
	if req.Endpoint == authorizationEndpoint {
		return nil
	}
	return r.DecideAuthorizationRequest(ctx, req)
}

// ClientMetadataMembers returns the members that say how a client signs and encrypts.
func (*RequestObjects) ClientMetadataMembers() []string {
	return []string{requireSigned, requestObjectAlg, requestURIsMember, requestObjectEncryptionAlg, requestObjectEncryptionEnc}
}

// CheckClientMetadata refuses a client that could not do what its metadata says.
func (r *RequestObjects) CheckClientMetadata(_ context.Context, req *server.Request, metadata *models.ClientMetadata) error {
	if err := clientmeta.CheckBool(metadata, requireSigned); err != nil {
		return err
	}
	var algorithm jose.SignatureAlgorithm
	if raw, ok := metadata.Extra[requestObjectAlg]; ok && (strictjson.Unmarshal(raw, &algorithm) != nil || !slices.Contains(req.Server.SignatureAlgorithms(r.Algorithms), algorithm)) {
		return clientmeta.Invalid(requestObjectAlg, string(algorithm), fmt.Sprintf("is not an algorithm that the server accepts; choose one of %v", req.Server.SignatureAlgorithms(r.Algorithms)))
	}
	var addresses []string
	if raw, ok := metadata.Extra[requestURIsMember]; ok && strictjson.Unmarshal(raw, &addresses) != nil {
		return clientmeta.Invalid(requestURIsMember, string(raw), "must be a list of URIs")
	}
	if err := r.checkEncryption(metadata); err != nil {
		return err
	}
	return r.checkKeys(req.Server, metadata, algorithm)
}

// checkKeys refuses a client that must sign, or registers an algorithm, but has no key for
// it.
func (r *RequestObjects) checkKeys(s *server.Server, metadata *models.ClientMetadata, chosen jose.SignatureAlgorithm) error {
	hasTo := (r.Required || string(metadata.Extra[requireSigned]) == "true") && len(metadata.ResponseTypes) > 0
	switch {
	case !hasTo && chosen == "":
		return nil
	case hasTo && len(metadata.JWKs) == 0 && (metadata.JWKsURI == "" || r.Fetcher == nil):
		return clientmeta.Invalid("jwks", "", "is missing, but the client's authorization requests must be signed; register its keys")
	case chosen != "":
		return clientmeta.CheckSigningKeys(metadata, []jose.SignatureAlgorithm{chosen})
	}
	return clientmeta.CheckSigningKeys(metadata, s.SignatureAlgorithms(r.Algorithms))
}

// checkEncryption refuses encryption algorithms that the server does not support. A client
// that registers one may still send unencrypted request objects (OpenID Connect Dynamic
// Client Registration section 2).
func (r *RequestObjects) checkEncryption(metadata *models.ClientMetadata) error {
	for _, member := range []string{requestObjectEncryptionAlg, requestObjectEncryptionEnc} {
		raw, given := metadata.Extra[member]
		if !given {
			continue
		}
		var chosen string
		known := r.Decryption != nil && strictjson.Unmarshal(raw, &chosen) == nil
		if known && member == requestObjectEncryptionAlg {
			known = slices.Contains(r.Decryption.EncryptionAlgorithms(), jose.KeyAlgorithm(chosen))
		} else if known {
			known = slices.Contains(contentEncryptions(), jose.ContentEncryption(chosen))
		}
		if !known {
			return clientmeta.Invalid(member, cmp.Or(chosen, string(raw)), "is not an algorithm that the server decrypts; choose one from its metadata")
		}
	}
	return nil
}
