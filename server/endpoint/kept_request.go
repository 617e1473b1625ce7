package endpoint

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/secret"
)

// KeepAuthorizationRequest stores a request that the browser sent by POST and that is too
// long for a URL. The client has not authenticated, so the request is stored unchanged, is
// checked again each time, and does not count as pushed. Like a pushed request, it can be
// used for one decision.
func (e *PushedAuthorizationRequest) KeepAuthorizationRequest(ctx context.Context, req *server.Request, parameters url.Values) (string, error) {
	if err := allowRequest(ctx, req, publicRequestsOr(&e.publicRequests, e.PublicRequests)); err != nil {
		return "", err
	}
	requestURI, _, err := e.save(ctx, req, secret.KeptRequest, parameters)
	return requestURI, err
}

// KeptAuthorizationRequest returns the parameters of a stored request, or nil if the
// request_uri is not that of one.
func (e *PushedAuthorizationRequest) KeptAuthorizationRequest(ctx context.Context, req *server.Request) (url.Values, error) {
	if !isRequestURI(req.Params.Get("request_uri"), secret.KeptRequest) {
		return nil, nil
	}
	return e.load(ctx, req)
}

// isRequestURI reports whether a request_uri has the form of one for this kind of request.
func isRequestURI(requestURI string, kind secret.Kind) bool {
	plaintext, ours := strings.CutPrefix(requestURI, requestURIPrefix)
	return ours && !secret.Malformed(plaintext, kind)
}

// save stores a request under a new request_uri.
func (e *PushedAuthorizationRequest) save(ctx context.Context, req *server.Request, kind secret.Kind, parameters url.Values) (requestURI string, expiresIn int64, err error) {
	life := e.ExpiresIn
	if life == 0 {
		life = defaultPushedRequestExpiresIn
	}
	text := parameters.Encode()
	if len(text) > maxStoredParameters {
		return "", 0, server.NewError(server.InvalidRequest, "The body is too long.")
	}
	requestURI = requestURIPrefix + req.Server.GenerateSecret(kind)
	clientID, longClientID := models.SplitClientID(req.Client.GetClientID())
	record := &models.PushedRequestMixin{
		RequestURI: secret.Digest(requestURI), ClientID: clientID, LongClientID: longClientID, Parameters: text, ExpiresAt: req.Time.Add(life).Unix(),
	}
	if err := req.PreparePushedRequest(ctx, record); err != nil {
		return "", 0, err
	}
	if err := req.StoreOutcome(ctx, func(ctx context.Context) error { return e.Storage.SavePushedRequest(ctx, record) }); err != nil {
		return "", 0, fmt.Errorf("save pushed request: %w", err)
	}
	return requestURI, record.ExpiresAt - req.Time.Unix(), nil
}

// load returns the parameters that the request's request_uri stands for. The client_id must
// be that of the client that made the request (RFC 9126 section 4).
func (e *PushedAuthorizationRequest) load(ctx context.Context, req *server.Request) (url.Values, error) {
	stored, err := e.Storage.QueryPushedRequest(ctx, secret.Digest(req.Params.Get("request_uri")))
	if err != nil {
		return nil, fmt.Errorf("query pushed request: %w", err)
	}
	switch {
	case stored == nil:
		return nil, errNoSuchRequestURI().Because("the 'request_uri' is unknown")
	case stored.GetClientID() != req.Params.Get("client_id"):
		return nil, errNoSuchRequestURI().Because("the 'request_uri' belongs to another client", slog.String("pushed_by", stored.GetClientID()))
	case stored.IsUsed():
		return nil, errNoSuchRequestURI().Because("the 'request_uri' was used before")
	case stored.IsExpired(req.Time):
		return nil, errNoSuchRequestURI().Because("the 'request_uri' has expired")
	}
	params, err := url.ParseQuery(stored.GetParameters())
	if err != nil {
		return nil, fmt.Errorf("read pushed request: %w", err)
	}
	return params, nil
}
