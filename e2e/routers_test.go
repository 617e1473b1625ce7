package e2e

import (
	"context"
	"fmt"
	"html"
	"html/template"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	_ "modernc.org/sqlite"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/display"
	"github.com/gormoauth/gormoauth/server/storage"
)

// The models of a program.
type (
	routedUser struct{ ID uint }

	routedClient struct {
		ID uint
		models.ClientMixin
	}

	routedToken struct {
		ID     uint
		UserID *uint
		models.TokenMixin
	}

	routedCode struct {
		ID, UserID uint
		models.AuthorizationCodeMixin
	}

	routedKey struct {
		ID uint
		models.SigningKeyMixin
	}
)

func (u *routedUser) GetUserID() string { return fmt.Sprint(u.ID) }

func (u *routedUser) GetClaims(context.Context, []string) (map[string]any, error) {
	return map[string]any{"name": "Alice"}, nil
}

// routers are those that programs use: each makes a handler of the routes it is given.
var routers = map[string]func(routes map[string]http.Handler) http.Handler{
	"net/http": func(routes map[string]http.Handler) http.Handler {
		mux := http.NewServeMux()
		for path, handler := range routes {
			mux.Handle(path, handler)
		}
		return mux
	},
	"gin": func(routes map[string]http.Handler) http.Handler {
		router := gin.New()
		for path, handler := range routes {
			router.Any(path, gin.WrapH(handler))
		}
		return router
	},
	"echo": func(routes map[string]http.Handler) http.Handler {
		router := echo.New()
		for path, handler := range routes {
			router.Any(path, echo.WrapHandler(handler))
		}
		return router
	},
	"chi": func(routes map[string]http.Handler) http.Handler {
		router := chi.NewRouter()
		for path, handler := range routes {
			router.Handle(path, handler)
		}
		return router
	},
}

// prefixes are the ways in which a router puts a server below a prefix and takes it off
// before the server sees the request.
var prefixes = map[string]func(prefix string, routes map[string]http.Handler) http.Handler{
	"net/http": func(prefix string, routes map[string]http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle(prefix+"/", http.StripPrefix(prefix, routers["net/http"](routes)))
		return mux
	},
	"gin": func(prefix string, routes map[string]http.Handler) http.Handler {
		router := gin.New()
		router.Group(prefix).Any("/*path", gin.WrapH(http.StripPrefix(prefix, routers["gin"](routes))))
		return router
	},
	"echo": func(prefix string, routes map[string]http.Handler) http.Handler {
		router := echo.New()
		router.Group(prefix).Any("/*", echo.WrapHandler(http.StripPrefix(prefix, routers["echo"](routes))))
		return router
	},
	"chi": func(prefix string, routes map[string]http.Handler) http.Handler {
		router := chi.NewRouter()
		router.Mount(prefix, http.StripPrefix(prefix, routers["chi"](routes)))
		return router
	},
}

var routedPage = template.Must(template.New("consent").Parse(`<form method="post" action="{{.ReturnTo}}">{{.Decision.Input}}<button name="confirm" value="yes">Allow</button></form>`))

// A server works in each router: at the root, below the path of its issuer, and below a
// prefix that the router takes off. A relying party finds it by its metadata, a person
// signs in, comes back to the page, agrees, and the code becomes tokens that UserInfo
// takes.
func TestRouters(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	for name, router := range routers {
		for place, row := range map[string]struct {
			prefix string
			mount  func(prefix string, routes map[string]http.Handler) http.Handler
		}{
			"at the root":                   {"", func(_ string, routes map[string]http.Handler) http.Handler { return router(routes) }},
			"below the issuer's path":       {"/auth", func(_ string, routes map[string]http.Handler) http.Handler { return router(routes) }},
			"below a prefix, taken off":     {"/auth", prefixes[name]},
			"below two segments, taken off": {"/a/auth", prefixes[name]},
		} {
			t.Run(name+" "+place, func(t *testing.T) {
				listener := httptest.NewUnstartedServer(nil)
				issuer := "http://" + listener.Listener.Addr().String() + row.prefix
				srv, client, secret := routedServer(t, issuer)
				routes := make(map[string]http.Handler)
				for path, handler := range srv.Routes() {
					routes[path] = handler
				}
				authorize := srv.AuthorizationHandler(server.AuthorizationPages{
					User: func(r *http.Request) (storage.User, error) {
						if _, err := r.Cookie("session"); err != nil {
							return nil, nil
						}
						return server.SignedIn{User: &routedUser{ID: 1}, Authentication: server.Authentication{Time: time.Now().Unix(), SessionID: "s"}}, nil
					},
					SignIn: func(w http.ResponseWriter, r *http.Request, consent *server.ConsentGrant) {
						http.Redirect(w, r, row.prefix+"/login?next="+url.QueryEscape(consent.ReturnTo), http.StatusSeeOther)
					},
					Consent: func(w http.ResponseWriter, _ *http.Request, consent *server.ConsentGrant) {
						_ = routedPage.Execute(w, consent)
					},
				})
				login := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					http.SetCookie(w, &http.Cookie{Name: "session", Value: "1", Path: "/"})
					http.Redirect(w, r, display.LocalPath(r.URL.Query().Get("next")), http.StatusSeeOther)
				})
				for _, prefix := range []string{"", row.prefix} {
					routes[prefix+"/oauth/authorize"], routes[prefix+"/login"] = authorize, login
				}
				listener.Config.Handler = row.mount(row.prefix, routes)
				listener.Start()
				t.Cleanup(listener.Close)
				signInThrough(t, issuer, client.ClientID, secret)
				if place != "below a prefix, taken off" && place != "below two segments, taken off" { // where the whole of the host is the server's
					answer, err := http.Get(strings.TrimSuffix(issuer, row.prefix) + "/.well-known/oauth-authorization-server" + row.prefix)
					require.NoError(t, err)
					defer func() { _ = answer.Body.Close() }()
					assert.Equal(t, http.StatusOK, answer.StatusCode, "RFC 8414 section 3.1")
				}
			})
		}
	}
}

func routedServer(t *testing.T, issuer string) (srv *server.Server, client *routedClient, secret string) {
	t.Helper()
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: filepath.Join(t.TempDir(), "oauth.db")}), &gorm.Config{})
	require.NoError(t, err)
	pool, err := db.DB()
	require.NoError(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	require.NoError(t, gormoauth.AutoMigrate(db, &routedUser{}, &routedClient{}, &routedToken{}, &routedCode{}, &routedKey{}))
	require.NoError(t, db.Create(&routedUser{}).Error)
	srv, err = gormoauth.New(db, server.Config{Issuer: issuer, Secrets: [][]byte{[]byte("a secret of tests, of 32 bytes..")}}, gormoauth.Users[routedUser](), gormoauth.Clients[routedClient](),
		gormoauth.Tokens[routedToken](), gormoauth.AuthorizationCodes[routedCode](), gormoauth.OpenID[routedUser, routedKey]())
	require.NoError(t, err)
	client = &routedClient{ClientMixin: models.ClientMixin{ClientMetadata: models.ClientMetadata{RedirectURIs: []string{callback}, Scope: "openid profile"}}}
	secret, err = gormoauth.CreateClientFactory[routedClient](db, srv).Create(t.Context(), client)
	require.NoError(t, err)
	return srv, client, secret
}

var (
	formAction  = regexp.MustCompile(`action="([^"]*)"`)
	formMembers = regexp.MustCompile(`name="([^"]*)" value="([^"]*)"`)
)

// signInThrough has a person and a relying party go through a server that is found by
// its issuer alone.
func signInThrough(t *testing.T, issuer, clientID, secret string) {
	t.Helper()
	provider, err := oidc.NewProvider(t.Context(), issuer)
	require.NoError(t, err)
	conf := oauth2.Config{ClientID: clientID, ClientSecret: secret, RedirectURL: callback, Endpoint: provider.Endpoint(), Scopes: []string{"openid", "profile"}}
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &http.Client{Jar: jar, Timeout: time.Minute, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), callback) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	verifier := oauth2.GenerateVerifier()
	authorize := conf.AuthCodeURL("state", oidc.Nonce("nonce"), oauth2.S256ChallengeOption(verifier))
	page, err := browser.Get(authorize)
	require.NoError(t, err)
	text, err := io.ReadAll(page.Body)
	require.NoError(t, err)
	require.NoError(t, page.Body.Close())
	require.Equal(t, authorize, page.Request.URL.String(), "signing in leads back to the request")
	action := formAction.FindSubmatch(text)
	require.NotNil(t, action, string(text))
	target, err := page.Request.URL.Parse(html.UnescapeString(string(action[1])))
	require.NoError(t, err)
	form := url.Values{}
	for _, member := range formMembers.FindAllSubmatch(text, -1) {
		form.Add(string(member[1]), html.UnescapeString(string(member[2])))
	}
	answer, err := browser.PostForm(target.String(), form)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	location, err := answer.Location()
	require.NoError(t, err, answer.Status)
	require.Equal(t, []string{"state", issuer}, []string{location.Query().Get("state"), location.Query().Get("iss")}, location)
	token, err := conf.Exchange(t.Context(), location.Query().Get("code"), oauth2.VerifierOption(verifier))
	require.NoError(t, err)
	raw, _ := token.Extra("id_token").(string)
	_, err = provider.Verifier(&oidc.Config{ClientID: clientID}).Verify(t.Context(), raw)
	require.NoError(t, err)
	info, err := provider.UserInfo(t.Context(), oauth2.StaticTokenSource(token))
	require.NoError(t, err)
	var claims struct {
		Name string `json:"name"`
	}
	require.NoError(t, info.Claims(&claims))
	assert.Equal(t, "Alice", claims.Name)
}
