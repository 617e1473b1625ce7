package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/generator"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/resource"
)

// openIDProvider is this library with what an OpenID Provider has beyond the
// basics, and with access tokens that are signed.
type openIDProvider struct {
	server, jwtServer *server.Server
	dpopAPI, jwtAPI   http.Handler
}

func newOpenIDProvider(db *gorm.DB) (*openIDProvider, error) {
	keys := gormoauth.CreateSigningKeys[signingKey](db, gormstore.SigningKeyOptions{})
	srv, err := newServer(db, nil)
	if err != nil {
		return nil, err
	}
	if err := registerAll(srv, db, keys); err != nil {
		return nil, err
	}
	tokens := &generator.JWTAccessToken{Keys: keys, Audience: apiAudience}
	jwtServer, err := newServer(db, tokens.Generate)
	if err != nil {
		return nil, err
	}
	jwtAPI, err := protect(&resource.JWTAccessTokenValidator{Issuer: issuer, Audience: apiAudience, Keys: keys})
	if err != nil {
		return nil, err
	}
	dpopAPI, err := protect(gormoauth.CreateDPoPTokenValidator[replay](db, apiAudience, gormoauth.CreateBearerTokenValidator[token](db)))
	return &openIDProvider{srv, jwtServer, dpopAPI, jwtAPI}, err
}

// registerAll has a server bind tokens to keys, serve devices, and sign ID tokens.
func registerAll(srv *server.Server, db *gorm.DB, keys jwk.SigningKeys) error {
	protector, err := resource.NewProtector(resource.Config{}, gormoauth.CreateBearerTokenValidator[token](db))
	if err != nil {
		return err
	}
	if err := srv.Register(gormoauth.CreateDPoP[replay](db)); err != nil {
		return err
	}
	if err := srv.RegisterGrant(gormoauth.CreateDeviceCodeGrant[deviceCode](db)); err != nil {
		return err
	}
	for _, e := range []server.Endpoint{gormoauth.CreateDeviceAuthorizationEndpoint[deviceCode](db), &endpoint.JWKS{Keys: keys}} {
		if err := srv.RegisterEndpoint(e); err != nil {
			return err
		}
	}
	provider := &oidc.Provider{Keys: keys, Algorithms: []jose.SignatureAlgorithm{jose.ES256}}
	return provider.Register(srv, protector)
}

func (p *openIDProvider) routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"POST " + providerPath: p.server.CreateTokenResponse,
		"POST " + jwtTokenPath: p.jwtServer.CreateTokenResponse,
		"GET " + jwtAPIPath:    p.jwtAPI.ServeHTTP,
		"GET " + dpopAPIPath:   p.dpopAPI.ServeHTTP,
		"GET " + jwksPath:      p.server.EndpointHandler("jwks"),
	}
}

// OpenIDCode goes through the authorization endpoint.
func (p *openIDProvider) OpenIDCode(ctx context.Context) (string, error) {
	return authorize(ctx, p.server, url.Values{"scope": {"openid profile"}, "nonce": {nonce}})
}

// DeviceCode goes through the device authorization endpoint.
func (p *openIDProvider) DeviceCode(ctx context.Context) (string, error) {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(url.Values{"scope": {"profile"}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(clientID, clientSecret)
	w := httptest.NewRecorder()
	p.server.CreateEndpointResponse(w, r, "device_authorization")
	var answer struct {
		DeviceCode string `json:"device_code"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.DeviceCode == "" {
		return "", fmt.Errorf("a device is answered with %d: %s", w.Code, w.Body)
	}
	return answer.DeviceCode, nil
}
