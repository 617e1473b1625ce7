package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/server/jwk"
)

// jwksEndpoint is the name of the endpoint that publishes the server's keys.
const jwksEndpoint = "jwks"

// PublicKeysResponse returns a JWK Set of the public keys of all signers (RFC 7517 section 5). It
// may be cached for five minutes: a new key is published long before it signs.
func (r *Request) PublicKeysResponse(ctx context.Context, signers ...jwk.SigningKeys) (*Response, error) {
	set := &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, signer := range signers {
		keys, err := signer.PublicKeys(ctx, r.Time)
		if err != nil {
			return nil, fmt.Errorf("list the public keys: %w", err)
		}
		for _, key := range keys.Keys {
			if len(set.Key(key.KeyID)) == 0 {
				set.Keys = append(set.Keys, key)
			}
		}
	}
	return &Response{
		Header: http.Header{"Cache-Control": {"public, max-age=300"}, "Content-Type": {"application/jwk-set+json"}}, Body: set,
	}, nil
}

// keyDocument is the endpoint "jwks" of a server that signs, if the program registers no other
// endpoint of that name: without its keys nobody could verify the signatures.
type keyDocument []jwk.SigningKeys

// EndpointName returns "jwks".
func (keyDocument) EndpointName() string { return jwksEndpoint }

// EndpointPath returns "/oauth/jwks".
func (keyDocument) EndpointPath() string { return "/oauth/jwks" }

// Methods returns "GET".
func (keyDocument) Methods() []string { return []string{http.MethodGet} }

// PrepareMetadata sets jwks_uri (RFC 8414 section 2), unless the program has set it.
func (keyDocument) PrepareMetadata(s *Server, metadata Metadata) {
	if metadata["jwks_uri"] == nil {
		metadata["jwks_uri"] = s.EndpointURL(jwksEndpoint)
	}
}

// CreateResponse returns the keys.
func (d keyDocument) CreateResponse(ctx context.Context, req *Request) (*Response, error) {
	return req.PublicKeysResponse(ctx, d...)
}

// publishKeys adds or removes the key document, or leaves the program's own in place.
func (r *registrations) publishKeys() {
	if _, isOurs := r.endpoints[jwksEndpoint].(keyDocument); isOurs {
		delete(r.endpoints, jwksEndpoint)
	}
	if signers := r.signers(); len(signers) > 0 && r.endpoints[jwksEndpoint] == nil {
		if r.endpoints == nil {
			r.endpoints = make(map[string]Endpoint)
		}
		r.endpoints[jwksEndpoint] = keyDocument(signers)
	}
}

// signers returns the keys of everything registered that signs, except the key document.
func (r *registrations) signers() (signers []jwk.SigningKeys) {
	values := slices.Clone(r.extensions)
	for _, g := range r.grants {
		values = append(values, g.extensions...)
	}
	for _, m := range r.methods {
		values = append(values, m)
	}
	for name, e := range r.endpoints {
		if name != jwksEndpoint {
			values = append(values, e)
		}
	}
	for _, value := range values {
		hook, ok := value.(PublishedKeysHook)
		if !ok {
			continue
		}
		if keys := hook.PublishedKeys(); keys != nil && !slices.ContainsFunc(signers, func(other jwk.SigningKeys) bool { return sameKeys(keys, other) }) {
			signers = append(signers, keys)
		}
	}
	return signers
}

// sameKeys reports whether two values are the same.
func sameKeys(a, b jwk.SigningKeys) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// publishedKeys returns the keys of everything that signs, and those of the program's own key
// document.
func (r *registrations) publishedKeys() []jwk.SigningKeys {
	all := r.signers()
	document, ok := r.endpoints[jwksEndpoint].(PublishedKeysHook)
	if !ok {
		return all
	}
	keys := document.PublishedKeys()
	if keys == nil || slices.ContainsFunc(all, func(other jwk.SigningKeys) bool { return sameKeys(keys, other) }) {
		return all
	}
	return append(all, keys)
}

// maintained is implemented by keys that are generated ahead of time, such as those of gormstore.
type maintained interface {
	MaintainOnce(ctx context.Context, now time.Time) error
	Maintain(ctx context.Context, log *slog.Logger)
}

// PrepareKeys generates the keys that are due, of everything registered that signs, so that no
// request has to wait for one: an RSA key takes a while. Call it before the server starts
// serving.
func (s *Server) PrepareKeys(ctx context.Context) error {
	var faults []error
	for _, keys := range s.publishedKeys() {
		if keys, ok := keys.(maintained); ok {
			faults = append(faults, keys.MaintainOnce(ctx, s.Now()))
		}
	}
	return errors.Join(faults...)
}

// MaintainKeys generates keys that become due, and deletes those that are no longer published,
// until ctx ends. Run it alongside the server.
func (s *Server) MaintainKeys(ctx context.Context) {
	var running sync.WaitGroup
	for _, keys := range s.publishedKeys() {
		if keys, ok := keys.(maintained); ok {
			running.Go(func() { keys.Maintain(ctx, s.Logger()) })
		}
	}
	running.Wait()
}
