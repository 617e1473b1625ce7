package endpoint

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/ondemand"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/par"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// PushedAuthorizationRequest is the pushed authorization request endpoint (RFC 9126), named
// "pushed_authorization_request": an authenticated client sends its authorization request
// directly, and the browser carries only a reference to it, which cannot be altered and can
// be used for one decision.
type PushedAuthorizationRequest struct {
	// Storage stores the requests.
	Storage par.Storage
	// ExpiresIn is how long a request may wait for the user's decision. 0 means ten
	// minutes, which leaves time to sign in.
	ExpiresIn time.Duration
	// Required refuses authorization requests that were not pushed. Otherwise a client's
	// metadata can require pushed ones: require_pushed_authorization_requests.
	Required bool
	// PublicRequests limits, per network address, how many requests are stored for public
	// clients, which anyone can impersonate, and for browsers that POST a request too long
	// for a URL. nil allows 300 in ten minutes, counted in this process.
	PublicRequests ratelimit.Limiter

	publicRequests ondemand.Limiter // for PublicRequests, if it is nil
}

const (
	defaultPushedRequestExpiresIn = 10 * time.Minute
	requestURIPrefix              = "urn:ietf:params:oauth:request_uri:"
	requirePushed                 = "require_pushed_authorization_requests"
	maxStoredParameters           = 1<<16 - 1 // the size of a column of type text on MySQL
)

// EndpointName returns "pushed_authorization_request".
func (*PushedAuthorizationRequest) EndpointName() string { return "pushed_authorization_request" }

// EndpointPath returns "/oauth/par".
func (*PushedAuthorizationRequest) EndpointPath() string { return "/oauth/par" }

// PrepareMetadata adds the endpoint's URL (RFC 9126 section 5).
func (e *PushedAuthorizationRequest) PrepareMetadata(s *server.Server, metadata server.Metadata) {
	metadata["pushed_authorization_request_endpoint"] = s.EndpointURL("pushed_authorization_request")
	if e.Required {
		metadata[requirePushed] = true
	}
}

// CheckConfig returns an error for each missing or invalid field.
func (e *PushedAuthorizationRequest) CheckConfig(*server.Config) error {
	var faults []error
	if e.Storage == nil {
		faults = append(faults, errors.New("endpoint: PushedAuthorizationRequest.Storage is missing: write gormoauth.CreatePushedAuthorizationRequestEndpoint[PushedRequest](db)"))
	}
	if e.ExpiresIn < 0 {
		faults = append(faults, errors.New("endpoint: PushedAuthorizationRequest.ExpiresIn must not be negative"))
	}
	return errors.Join(faults...)
}

// Diagnose checks that the look-up of a request that does not exist finds none.
func (e *PushedAuthorizationRequest) Diagnose(ctx context.Context, _ *server.Server) finding.List {
	return finding.LookUp("endpoint.PushedAuthorizationRequest.Storage", func() (bool, error) {
		request, err := e.Storage.QueryPushedRequest(ctx, secret.Digest(rand.Text()))
		return request != nil, err
	})
}

// IsReplaySafe marks the endpoint as one where a replayed request does no harm.
func (*PushedAuthorizationRequest) IsReplaySafe() {}

// CreateResponse validates the request as the authorization endpoint would, and
// stores it.
func (e *PushedAuthorizationRequest) CreateResponse(ctx context.Context, req *server.Request) (*server.Response, error) {
	if req.Params.Has("request_uri") { // RFC 9126 section 2.1
		return nil, server.NewError(server.InvalidRequest, "A pushed request must not have a 'request_uri'.")
	}
	if err := checkPublicRequest(ctx, req, publicRequestsOr(&e.publicRequests, e.PublicRequests)); err != nil {
		return nil, err
	}
	if err := req.CheckAuthorizationRequest(ctx); err != nil {
		return nil, err
	}
	parameters := make(url.Values, len(req.Params))
	for name, values := range req.Params {
		if name != "client_secret" && name != "client_assertion" && name != "client_assertion_type" {
			parameters[name] = values
		}
	}
	parameters.Set("client_id", req.Client.GetClientID())
	requestURI, expiresIn, err := e.save(ctx, req, secret.PushedRequest, parameters)
	if err != nil {
		return nil, err
	}
	return &server.Response{Status: http.StatusCreated, Body: map[string]any{"request_uri": requestURI, "expires_in": expiresIn}}, nil
}

// ResolveAuthorizationRequest replaces a request_uri by the parameters of the pushed
// request.
func (e *PushedAuthorizationRequest) ResolveAuthorizationRequest(ctx context.Context, req *server.Request) error {
	requestURI := req.Params.Get("request_uri")
	if !strings.HasPrefix(requestURI, requestURIPrefix) {
		return nil
	}
	if !isRequestURI(requestURI, secret.PushedRequest) {
		return errNoSuchRequestURI().Because("the 'request_uri' is malformed")
	}
	params, err := e.load(ctx, req)
	if err != nil {
		return err
	}
	req.Params, req.RequestURI = params, requestURI
	return nil
}

// CheckAuthorizationRequest refuses a request that must be pushed but was not.
func (e *PushedAuthorizationRequest) CheckAuthorizationRequest(_ context.Context, req *server.Request) error {
	if req.Endpoint != "authorization" || strings.HasPrefix(req.RequestURI, requestURIPrefix) || !e.Required && !clientmeta.AsksFor(req.Client, requirePushed) {
		return nil
	}
	return server.NewError(server.InvalidRequest, "The authorization request must be pushed (RFC 9126).")
}

// DecideAuthorizationRequest makes the response spend the pushed or stored request. Of two
// concurrent decisions only one counts.
func (e *PushedAuthorizationRequest) DecideAuthorizationRequest(_ context.Context, req *server.Request) error {
	for _, requestURI := range []string{req.KeptRequestURI(), req.RequestURI} {
		if !strings.HasPrefix(requestURI, requestURIPrefix) {
			continue
		}
		req.Spend(storage.Spend{
			PushedRequests: e.Storage, Key: secret.Digest(requestURI),
			Refusal: errNoSuchRequestURI().Because("the 'request_uri' was used before"),
		})
	}
	return nil
}

// ClientMetadataMembers returns "require_pushed_authorization_requests", by which a client
// requires pushed requests.
func (*PushedAuthorizationRequest) ClientMetadataMembers() []string { return []string{requirePushed} }

// CheckClientMetadata checks that the member is a boolean.
func (*PushedAuthorizationRequest) CheckClientMetadata(_ context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	return clientmeta.CheckBool(metadata, requirePushed)
}

func errNoSuchRequestURI() *server.Error {
	return server.NewError(server.InvalidRequestURI, "The 'request_uri' is unknown, was already used or has expired.")
}
