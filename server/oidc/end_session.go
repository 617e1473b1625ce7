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

	"github.com/gormoauth/gormoauth/internal/header"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/server"
)

// LogoutRequest is a request to end the user's session (OpenID Connect RP-Initiated
// Logout 1.0 section 2), for the page that asks the user.
type LogoutRequest struct {
	// Client asks, nil when the request names none.
	Client server.Client
	// PostLogoutRedirectURI is where the user goes afterwards: one that the client
	// registered, or empty.
	PostLogoutRedirectURI string
	// State is the client's, given back as it was.
	State string
	// LogoutHint says who is to sign out, in the client's words.
	LogoutHint string
	// Confirmed is whether the user need not be asked: the request comes from a client
	// to which this very session has signed in, by its ID token, or is the form of the
	// page on which the user agreed. Of any other the page asks the user, as every link
	// could be one.
	Confirmed bool
	// ReturnTo is where the form of the page is posted to.
	ReturnTo string
	// Decision is the hidden field of the page's form, see [server.Decision.Input]. Its
	// button has the name [server.ConfirmField] and the value "yes".
	Decision server.Decision
}

const postLogoutRedirectURIs = "post_logout_redirect_uris"

// GetLogoutRequest validates a request to the logout endpoint, which comes by GET or
// POST. user is who has signed in, with the SessionID of their [server.SignedIn], or
// nil. Hand an error to [server.Server.WriteError]: it is shown to the person, and
// sent to nobody; or it has the browser come again by GET, where a client has posted the
// request, as cookies with SameSite=Lax do not come along with that. The page is the
// program's own; discovery has its address from
// Config.EndpointPaths["end_session"], which is /oauth/end_session unless set.
//
//	logout, err := provider.GetLogoutRequest(r, user)
//	…ask the user who is signed in, unless logout.Confirmed…
//	ended, err := provider.EndSession(r.Context(), sessionID)
//	…end the session itself…
//	provider.CreateLogoutResponse(w, r, logout, ended)
func (p *Provider) GetLogoutRequest(r *http.Request, user server.User) (*LogoutRequest, error) {
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

func (p *Provider) logoutRequest(ctx context.Context, req *server.Request, user server.User) (*LogoutRequest, error) {
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

// moveOn has a request come again by GET. An ID token that is too long for an address
// stays behind, so that the user is asked.
func moveOn(req *server.Request) error {
	address := req.Address(req.Params)
	if len(address) > server.MaxAddress {
		address = req.Address(withoutHint(req))
	}
	if len(address) > server.MaxAddress {
		return req.Failure(server.NewError(server.InvalidRequest, "The request is too long."))
	}
	return server.SeeOther(address)
}

// withoutHint is the request's parameters with the client in the place of its ID token.
func withoutHint(req *server.Request) url.Values {
	params := maps.Clone(req.Params)
	params.Del("id_token_hint")
	if req.Client != nil {
		params.Set("client_id", req.Client.GetClientID())
	}
	return params
}

// findRedirectURI finds where the user goes afterwards.
func (l *LogoutRequest) findRedirectURI(req *server.Request) error {
	uri := req.Params.Get("post_logout_redirect_uri")
	switch {
	case uri == "":
	case l.Client == nil && req.Params.Has("id_token_hint"): // one that says nothing
		uri = ""
	case l.Client == nil:
		return server.NewError(server.InvalidRequest, "A 'post_logout_redirect_uri' needs an 'id_token_hint' or a 'client_id'.")
	case !slices.Contains(listMember(metadataOf(l.Client), postLogoutRedirectURIs), uri):
		return server.NewError(server.InvalidRequest, "The 'post_logout_redirect_uri' '%s' is not registered for this client.", server.Excerpt(uri)).With(slog.String("post_logout_redirect_uri", server.LoggedURI(uri)))
	default:
		if err := req.Server.MayRedirect(l.Client, uri); err != nil {
			return server.NewError(server.InvalidRequest, "The client cannot use its 'post_logout_redirect_uri' '%s': it %s.", server.Excerpt(uri), err).With(slog.String("post_logout_redirect_uri", server.LoggedURI(uri)))
		}
	}
	l.PostLogoutRedirectURI = uri
	return nil
}

// findClient finds who asks, and returns the ID token by which they do, nil where it
// says nothing: what is no ID token of this server's, or was signed by a key that is
// gone, is as good as none.
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
	default: // it is gone, and what it was given says nothing any more
		return nil, nil
	}
}

// isTheirs reports whether an ID token was issued in the session of the request, or,
// where it names none, to its user. Where nobody is signed in, nobody is to be asked, but
// a client that made itself would lead anybody anywhere by it.
func (p *Provider) isTheirs(req *server.Request, client server.Client, from *hint) bool {
	switch {
	case req.User == nil:
		return !server.IsSelfMade(client)
	case from.sid != "":
		return from.sid == p.sid(client, req.Authentication.SessionID)
	default:
		return from.subject == req.Server.Subject(client, req.User.GetUserID())
	}
}

// FrontChannelLogouts returns the addresses that the page loads in frames, to tell
// the clients of an ended session (OpenID Connect Front-Channel Logout 1.0).
func (p *Provider) FrontChannelLogouts(ctx context.Context, ended *EndedSession) (uris []string, err error) {
	for i := range ended.Clients {
		client, err := p.server.QueryClient(ctx, ended.Clients[i].GetClientID())
		if err != nil {
			return nil, err
		}
		u := p.addressOf(ctx, client, frontChannelLogoutURI)
		if u == nil || server.PolicySource(u.String()) == "" { // which no page could load
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

// CreateLogoutResponse answers a request once the session has ended: it tells the
// clients that have a front channel, in frames, and sends the user on. Unless the user
// confirmed it, nobody is sent to a client that made itself: they get a page with a
// button, as this address could otherwise lead anybody anywhere (RFC 9700 section
// 4.11.2). It reports false, and has written nothing, when there is nobody to tell and
// nowhere to go: the page then says by itself that the user is signed out.
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
	goes := logout.Confirmed || !server.IsSelfMade(logout.Client)
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

// addressOf returns an address of a client's to which a browser or the server goes, nil
// when there is none. One that no client may have, which stands in a row that is older
// than the rules or came from somewhere else, is not used, and named in the log.
func (p *Provider) addressOf(ctx context.Context, client server.Client, member string) *url.URL {
	text := textMember(metadataOf(client), member)
	if text == "" {
		return nil
	}
	u, err := weburi.ParseAddress(text)
	if err != nil {
		p.server.LogRefusal(ctx, server.NewReason("an address of the client is not used: see the doctor", slog.String("client_id", client.GetClientID()),
			slog.String("member", member), slog.String("value", server.Excerpt(text)), slog.String("fault", err.Error())))
		return nil
	}
	return u
}

// logoutScript goes on once every client has been told, or after three seconds, where
// the page may.
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

// writeLogoutPage writes the page with the frames. It allows its script and style by
// their digests, and the clients' origins alone.
func writeLogoutPage(w http.ResponseWriter, frames []string, next string, goes bool) {
	origins := make([]string, len(frames))
	sources := make([]template.URL, len(frames))
	for i, frame := range frames {
		origins[i] = server.PolicySource(frame)
		sources[i] = template.URL(frame) //nolint:gosec // an address that a client registered, https or loopback
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
	}{template.URL(next), server.DisplayHost(next), goes, sources, logoutScript, logoutStyle}) //nolint:gosec // a URI that may be redirected to
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}
