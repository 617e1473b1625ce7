package endpoint_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/forwarded"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/storage"
)

// anyMember has one member, of any type.
type anyMember struct {
	Amount any `json:"amount"`
}

// FuzzEndpoints sends anything to everything that can be registered: no request
// is answered with a 5xx, or leads to an address that is not the client's.
func FuzzEndpoints(f *testing.F) {
	for _, seed := range [][2]string{
		{"{authorize}&resource=https://api.example", ""}, {"{authorize}&response_mode=form_post.jwt&request_uri=urn:ietf:params:oauth:request_uri:x", ""},
		{"token=x&token_type_hint=y", "Basic YTpi"}, {"client_id={id}&scope=profile&user_code=bbbb-bbbb", ""},
		{`{"redirect_uris":["https://client.example/cb"],"jwks":{"keys":[{"kty":"EC"}]},"client_name#ja":"x","scope":null}`, "Bearer x"},
		{`{"client_id":"{id}","software_statement":"a.b.c","grant_types":[null],"contacts":{}}`, "Bearer goa_ra_x"},
		{"grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=a.b.c&client_id={id}", ""},
		{"grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code=goa_dc_x&client_id={id}", ""},
		{"client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=eyJhbGciOiJub25lIn0.e30.&grant_type=x", ""},
		{`{authorize}&authorization_details=[{"type":"x","amount":1e400}]&dpop_jkt=x`, ""}, {"{authorize}&request=e30.e30.e30", ""}, {"{authorize}&request=a.b.c.d.e", ""},
		{"{authorize}&request_uri=https://client.example/r%23x", ""}, {"client_id={id}&grant_type=refresh_token&refresh_token=goa_rt_x", "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7fX0.e30.e30"},
		{"grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token=x&subject_token_type=urn:ietf:params:oauth:token-type:jwt&actor_token=e30.e30.e30&actor_token_type=urn:ietf:params:oauth:token-type:jwt&audience=a&audience=b&resource=x", "{basic}"},
		{"client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=eyJhbGciOiJIUzI1NiJ9.e30.e30&grant_type=x", ":x:"},
		{"[[[[[[[[", "\x00"}, {"%", "Basic"}, {`{"a":` + strings.Repeat("[", 500), ""},
	} {
		f.Add(seed[0], seed[1])
	}
	db := testdb.Open(f, testdb.SQLiteGo, oauthtest.Models()...)
	p := oauthtest.New(f, db, func(c *server.Config) {
		c.FailedAuthentications = ratelimit.Unlimited{}
		c.ClientCertificates = forwarded.ClientCertificates("Client-Cert", netip.MustParsePrefix("192.0.2.0/24"))
	})
	keys := gormoauth.CreateSigningKeys[oauthtest.SigningKey](db, gormstore.SigningKeyOptions{EncryptionAlgorithms: []jose.KeyAlgorithm{jose.ECDH_ES}})
	replays := gormoauth.CreateReplayStorage[oauthtest.Replay](db)
	device := gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db)
	pushed := gormoauth.CreatePushedAuthorizationRequestEndpoint[oauthtest.PushedRequest](db)
	device.PublicRequests, pushed.PublicRequests = ratelimit.Unlimited{}, ratelimit.Unlimited{}
	registration := gormoauth.CreateRegistrationEndpoint[oauthtest.Client, oauthtest.Token](db)
	registration.Open, registration.Attempts = true, ratelimit.Unlimited{}
	exchange := gormoauth.CreateTokenExchangeGrant[oauthtest.Token](db)
	exchange.Policy = func(context.Context, *server.Request, *grant.Exchange) error { return nil }
	anything := func(context.Context, *server.Request, grant.AuthorizationDetail) error { return nil }
	for _, err := range []error{
		p.Server.RegisterEndpoint(device), p.Server.RegisterEndpoint(registration), p.Server.RegisterEndpoint(&endpoint.JWKS{Keys: keys}),
		p.Server.RegisterEndpoint(pushed),
		p.Server.RegisterClientAuthMethod(&clientauth.PrivateKeyJWT{Replays: replays}, &clientauth.SelfSignedTLSClientAuth{},
			&clientauth.TLSClientAuth{Roots: x509.NewCertPool()}, &clientauth.ClientSecretJWT{Key: make([]byte, 32), Replays: replays}),
		p.Server.Register(gormoauth.CreateDPoP[oauthtest.Replay](db), &grant.CertificateBoundTokens{}, &grant.RequestObjects{Replays: replays, Decryption: keys},
			&grant.AuthorizationDetails{Types: map[string]grant.AuthorizationDetailType{"x": {Members: anyMember{}, Check: anything}}}),
		p.Server.RegisterGrant(exchange),
		p.Server.Register(grant.ResourceIndicators{Resources: []string{api}}, &grant.JARM{Keys: keys}),
		p.Server.RegisterGrant(gormoauth.CreateDeviceCodeGrant[oauthtest.DeviceCode](db)),
		p.Server.RegisterGrant(&grant.JWTBearer{
			Keys:      func(context.Context, string) (*jose.JSONWebKeySet, error) { return &jose.JSONWebKeySet{}, nil },
			QueryUser: func(context.Context, *server.Request, *assertion.Assertion) (storage.User, error) { return p.User, nil },
			Replays:   replays,
		}),
	} {
		if err != nil {
			f.Fatal(err)
		}
	}
	web := p.NewClient(oauthtest.Grants("urn:ietf:params:oauth:grant-type:token-exchange"))
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(web.ClientID+":"+web.Secret))
	client := p.NewClient(oauthtest.All(oauthtest.Public, oauthtest.Grants(
		"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:jwt-bearer")))
	handlers := []http.Handler{
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.Server.CreateAuthorizationResponse(w, r, p.User) }),
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := device.Decide(p.Server, r, p.User, true); err != nil {
				p.Server.WriteError(w, r, err)
			}
		}),
	}
	for _, handler := range p.Server.Routes() {
		handlers = append(handlers, handler)
	}
	f.Fuzz(func(t *testing.T, body, authorization string) {
		body = strings.ReplaceAll(strings.ReplaceAll(body, "{authorize}", oauthtest.AuthorizeQuery(client, "")), "{id}", client.ClientID)
		authorization = strings.ReplaceAll(authorization, "{basic}", basic)
		for _, handler := range handlers {
			for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodGet, http.MethodDelete} {
				for _, contentType := range []string{"application/x-www-form-urlencoded", "application/json"} {
					r := httptest.NewRequestWithContext(oauthtest.Brief(t), method, "/?client_id="+client.ClientID, strings.NewReader(body))
					r.Header.Set("Content-Type", contentType)
					r.Header["Authorization"], r.Header["Accept"] = []string{authorization}, []string{body}
					r.Header["Dpop"], r.Header["Client-Cert"] = []string{authorization}, []string{authorization}
					w := httptest.NewRecorder()
					handler.ServeHTTP(w, r)
					if w.Code >= http.StatusInternalServerError {
						t.Fatalf("%s %s: %d: %s", method, contentType, w.Code, w.Body)
					}
					if location := w.Header().Get("Location"); location != "" {
						u, err := url.Parse(location)
						if err == nil && w.Code == http.StatusSeeOther && u.Host == "" && u.Path == "/" {
							continue // to the page
						}
						if err != nil || u.Scheme+"://"+u.Host+u.Path != oauthtest.RedirectURI {
							t.Fatalf("led to %q", location)
						}
					}
				}
			}
		}
	})
}

const api = "https://api.example"
