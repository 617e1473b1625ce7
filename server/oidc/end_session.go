package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/internal/clientrules"
	"github.com/gormoauth/gormoauth/internal/header"
	"github.com/gormoauth/gormoauth/internal/logtext"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/display"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/storage"
)

// LogoutRequest is a request to end the user's session (OpenID Connect RP-Initiated Logout
// 1.0 section 2), for the page that asks the user to confirm.
type LogoutRequest struct {
	// Client is the client that sent the request, or nil if the request names none.
	Client storage.Client
	// PostLogoutRedirectURI is where the user is redirected afterwards: a registered URI of
	// the client, or empty.
	PostLogoutRedirectURI string
	// State is the client's state, returned unchanged.
	State string
	// LogoutHint is the client's hint about who is to sign out.
	LogoutHint string
	// Confirmed is whether the user need not be asked: the request has an ID token that a
	// client got in this session, or it is the submitted form of the page on which the user
	// agreed. For any other request the page must ask the user, since any link can lead
	// here.
	Confirmed bool
	// ReturnTo is the URL to which the page's form is posted.
	ReturnTo string
	// Decision is the hidden field of the page's form; see [server.Decision.Input]. The
	// form's button has the name [server.ConfirmField] and the value "yes".
	Decision server.Decision
}

const postLogoutRedirectURIs = "post_logout_redirect_uris"

// GetLogoutRequest validates a GET or POST request to the logout endpoint. user is the user
// who is signed in, as a [server.SignedIn] with a SessionID, or nil. Pass an error to
// [server.Server.WriteError]: it shows the error to the user, without a redirect to the
// client. If a client posted the request, it redirects the browser to send it again by GET,
// since cookies with SameSite=Lax are not sent with such a POST. The page is part of the
// program; discovery announces its path from Config.EndpointPaths["end_session"], by
// default /oauth/end_session.
//
//	logout, err := provider.GetLogoutRequest(r, user)
//	…ask the user who is signed in, unless logout.Confirmed…
//	ended, err := provider.EndSession(r.Context(), sessionID)
//	…end the session itself…
//	provider.CreateLogoutResponse(w, r, logout, ended)
func (p *Provider) GetLogoutRequest(r *http.Request, user storage.User) (*LogoutRequest, error) {
	if p.server == nil {
		return nil, ErrNotRegistered
	}
	var logout *LogoutRequest
	err := p.server.ObservePage(r, endSession, func(r *http.Request) (*server.Request, error) {
		req, err := p.server.ParsePageRequest(r, endSession)
		if err == nil {
			logout, err = p.logoutRequest(req.Context(), req, user)
		}
		return req, err
	})
	return logout, err
}

const endSession = "end_session"

func (p *Provider) logoutRequest(ctx context.Context, req *server.Request, user storage.User) (*LogoutRequest, error) {
	req.SetUser(user)
	logout := &LogoutRequest{State: req.State, LogoutHint: req.Params.Get("logout_hint")}
	from, err := p.findClient(ctx, req, logout)
	if err != nil {
		return nil, req.Failure(err)
	}
	if req.HTTP.Method == http.MethodPost && !req.Server.FromOwnPage(req.HTTP) {
		return nil, moveOn(req)
	}
	if err := logout.findRedirectURI(req); err != nil {
		return nil, req.Failure(err)
	}
	logout.ReturnTo = req.Address(withoutHint(req))
	logout.Decision = req.Decision([]string{logout.PostLogoutRedirectURI, logout.State, logout.LogoutHint})
	_, agreed := req.IsDecision(logout.Decision)
	logout.Confirmed = agreed || from != nil && p.isTheirs(req, logout.Client, from)
	return logout, nil
}

// moveOn redirects a request to the same URL by GET. An ID token that is too long for a URL
// is dropped, so that the user is asked.
func moveOn(req *server.Request) error {
	address := req.Address(req.Params)
	if len(address) > header.MaxAddress {
		address = req.Address(withoutHint(req))
	}
	if len(address) > header.MaxAddress {
		return req.Failure(server.NewError(server.InvalidRequest, "The request is too long."))
	}
	return server.SeeOther(address)
}

// withoutHint returns the request's parameters with the client_id instead of the ID token.
func withoutHint(req *server.Request) url.Values {
	params := maps.Clone(req.Params)
	params.Del("id_token_hint")
	if req.Client != nil {
		params.Set("client_id", req.Client.GetClientID())
	}
	return params
}

// findRedirectURI finds where the user is redirected afterwards.
func (l *LogoutRequest) findRedirectURI(req *server.Request) error {
	uri := req.Params.Get("post_logout_redirect_uri")
	switch {
	case uri == "":
	case l.Client == nil && req.Params.Has("id_token_hint"): // the hint is not valid
		uri = ""
	case l.Client == nil:
		return server.NewError(server.InvalidRequest, "A 'post_logout_redirect_uri' needs an 'id_token_hint' or a 'client_id'.")
	case !slices.Contains(listMember(metadataOf(l.Client), postLogoutRedirectURIs), uri):
		return server.NewError(server.InvalidRequest, "The 'post_logout_redirect_uri' '%s' is not registered for this client.", display.Excerpt(uri)).With(slog.String("post_logout_redirect_uri", logtext.URI(uri)))
	default:
		if err := req.Server.MayRedirect(l.Client, uri); err != nil {
			return server.NewError(server.InvalidRequest, "The client cannot use its 'post_logout_redirect_uri' '%s': it %s.", display.Excerpt(uri), err).With(slog.String("post_logout_redirect_uri", logtext.URI(uri)))
		}
	}
	l.PostLogoutRedirectURI = uri
	return nil
}

// findClient finds the client that sent the request, and returns its ID token, or nil if
// there is no valid one: a token that is not an ID token of this server, or was signed with
// a key that is gone, is ignored.
func (p *Provider) findClient(ctx context.Context, req *server.Request, logout *LogoutRequest) (*hint, error) {
	var from *hint
	if text := req.Params.Get("id_token_hint"); text != "" {
		var why, err error
		if from, why, err = p.readHint(ctx, req, text); err != nil {
			return nil, err
		}
		if why != nil {
			req.LogRefusal(why)
		}
	}
	clientID := req.Params.Get("client_id")
	if from != nil && (len(from.audience) != 1 || clientID != "" && clientID != from.audience[0]) {
		return nil, errOtherHint().BecauseOf(otherAudience(from))
	}
	named := clientID
	if from != nil {
		named = from.audience[0]
	}
	if named == "" {
		return nil, nil
	}
	client, err := req.Server.QueryClient(ctx, named)
	switch {
	case err != nil:
		return nil, err
	case client != nil:
		req.Client, logout.Client = client, client
		return from, nil
	case clientID != "":
		return nil, req.NoSuchClient(server.InvalidRequest)
	default: // the client is gone, so its ID token is ignored
		return nil, nil
	}
}

// isTheirs reports whether an ID token was issued in the session of the request or, if it
// names no session, to its user. If no user is signed in, there is no need to ask, except
// for a client that registered itself, which could use this as an open redirector.
func (p *Provider) isTheirs(req *server.Request, client storage.Client, from *hint) bool {
	switch {
	case req.User == nil:
		return !clientrules.IsSelfMade(client)
	case from.sid != "":
		return from.sid == p.sid(client, req.Authentication.SessionID)
	default:
		return from.subject == req.Server.Subject(client, req.User.GetUserID())
	}
}

// FrontChannelLogouts returns the URLs that the page must load in frames, to tell clients
// of an ended session (OpenID Connect Front-Channel Logout 1.0).
func (p *Provider) FrontChannelLogouts(ctx context.Context, ended *EndedSession) (uris []string, err error) {
	for i := range ended.Clients {
		client, err := p.server.QueryClient(ctx, ended.Clients[i].GetClientID())
		if err != nil {
			return nil, err
		}
		u := p.addressOf(ctx, client, frontChannelLogoutURI)
		if u == nil || display.PolicySource(u.String()) == "" { // no page could load it
			continue
		}
		query := u.Query()
		query.Set("iss", p.server.Issuer())
		query.Set("sid", ended.Clients[i].SID)
		u.RawQuery = query.Encode()
		uris = append(uris, u.String())
	}
	return uris, nil
}

// CreateLogoutResponse writes the response once the session has ended: it tells clients
// with a front channel, in frames, and redirects the user. Unless logout is Confirmed, the
// user is not redirected to a client that registered itself, but gets a page with a link,
// so that the endpoint is not an open redirector (RFC 9700 section 4.11.2). It returns
// false, and writes nothing, if there is no client to tell and nowhere to redirect to: the
// page must then say itself that the user is signed out.
func (p *Provider) CreateLogoutResponse(w http.ResponseWriter, r *http.Request, logout *LogoutRequest, ended *EndedSession) (written bool) {
	frames, err := p.FrontChannelLogouts(r.Context(), ended)
	if err != nil {
		p.server.WriteError(w, r, err)
		return true
	}
	next := logout.PostLogoutRedirectURI
	if next != "" && logout.State != "" {
		separator := "?"
		if strings.Contains(next, "?") {
			separator = "&"
		}
		next += separator + url.Values{"state": {logout.State}}.Encode()
	}
	goes := logout.Confirmed || !clientrules.IsSelfMade(logout.Client)
	if next != "" {
		if err := p.server.MayRedirect(logout.Client, next); err != nil {
			p.server.WriteError(w, r, fmt.Errorf("oidc: the PostLogoutRedirectURI %q %w", next, err))
			return true
		}
	}
	switch {
	case len(frames) > 0, next != "" && !goes:
		writeLogoutPage(w, frames, next, goes)
	case next != "":
		w.Header().Set("Cache-Control", "no-store")
		if err := header.Redirect(w, next, http.StatusSeeOther); err != nil {
			p.server.WriteError(w, r, err)
		}
	default:
		return false
	}
	return true
}

// addressOf returns a URL of a client that a browser or the server requests, or nil if
// there is none. A URL that no client may have, in a row that is older than the rules or
// was written elsewhere, is ignored and logged.
func (p *Provider) addressOf(ctx context.Context, client storage.Client, member string) *url.URL {
	text := textMember(metadataOf(client), member)
	if text == "" {
		return nil
	}
	u, err := weburi.ParseAddress(text)
	if err != nil {
		p.server.LogRefusal(ctx, reason.New("a URL of the client is not valid and is ignored: see the doctor", slog.String("client_id", client.GetClientID()),
			slog.String("member", member), slog.String("value", display.Excerpt(text)), slog.String("fault", err.Error())))
		return nil
	}
	return u
}

// logoutScript continues once every client has been told, or after three seconds, if the
// page has a next URL.
const logoutScript = `var next=document.querySelector("a.next"),left=document.querySelectorAll("iframe").length;` +
	`function go(){if(next){location.replace(next.href);next=null}}` +
	`document.querySelectorAll("iframe").forEach(function(f){f.addEventListener("load",function(){if(--left===0)go()})});setTimeout(go,3000)`

var logoutPage = template.Must(template.New("logout").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Signed out</title>
<style>{{.Style}}</style></head>
<body>
<h1>You are signed out</h1>
{{if .Next}}<p><a{{if .Goes}} class="next"{{end}} href="{{.Next}}" rel="noreferrer">{{if .Goes}}Continue{{else}}Continue to {{.Place}}{{end}}</a></p>{{end}}
{{range .Frames}}<iframe src="{{.}}" title="Sign-out of an application" hidden></iframe>
{{end}}<script>{{.Script}}</script>
</body>
</html>
`))

const logoutStyle = `body{font-family:system-ui,sans-serif;margin:15vh auto;max-width:30em;padding:0 1em;text-align:center}` +
	`a{display:inline-block;padding:.5em 1em;border:1px solid;border-radius:.4em;text-decoration:none}@media(prefers-color-scheme:dark){body{background:#111;color:#eee}a{color:#9cf}}`

// writeLogoutPage writes the page with the frames. Its policy allows only its own script
// and style, by their digests, and the origins of the clients.
func writeLogoutPage(w http.ResponseWriter, frames []string, next string, goes bool) {
	origins := make([]string, len(frames))
	sources := make([]template.URL, len(frames))
	for i, frame := range frames {
		origins[i] = display.PolicySource(frame)
		sources[i] = template.URL(frame) //nolint:gosec // a URL that a client registered, https or loopback
	}
	slices.Sort(origins)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	header.Set(w, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; frame-src "+
		strings.Join(slices.Compact(origins), " ")+"; script-src 'sha256-"+digestOf(logoutScript)+"'; style-src 'sha256-"+digestOf(logoutStyle)+"'")
	_ = logoutPage.Execute(w, struct {
		Next   template.URL
		Place  string
		Goes   bool
		Frames []template.URL
		Script template.JS
		Style  template.CSS
	}{template.URL(next), display.Host(next), goes, sources, logoutScript, logoutStyle}) //nolint:gosec // a URI that the server may redirect to
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}
