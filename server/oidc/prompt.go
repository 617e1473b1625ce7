package oidc

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/reason"
)

const (
	promptNone          = "none"
	promptLogin         = "login"
	promptConsent       = "consent"
	promptSelectAccount = "select_account"
)

func prompts() []string { return []string{promptNone, promptLogin, promptConsent, promptSelectAccount} }

func displays() []string { return []string{"page", "popup", "touch", "wap"} }

// checkPrompt refuses unknown values of prompt (OpenID Connect Core section 3.1.2.1).
func checkPrompt(req *server.Request) error {
	words := strings.Fields(req.Params.Get("prompt"))
	unknown := func(word string) bool { return !slices.Contains(prompts(), word) }
	switch {
	case slices.ContainsFunc(words, unknown):
		return server.NewError(server.InvalidRequest, "The 'prompt' has an unknown value. Use none, login, consent or select_account.").With(slog.String("prompt", req.Params.Get("prompt")))
	case len(words) > 1 && slices.Contains(words, promptNone):
		return server.NewError(server.InvalidRequest, "The 'prompt' value none cannot be combined with other values.")
	}
	return nil
}

// applyDefaults sets omitted parameters to the client's registered defaults (OpenID Connect
// Dynamic Client Registration section 2).
func (*Provider) applyDefaults(req *server.Request) {
	metadata := metadataOf(req.Client)
	if metadata == nil {
		return
	}
	var maxAge int64
	if raw, ok := metadata.Extra["default_max_age"]; ok && !req.Params.Has("max_age") && strictjson.Unmarshal(raw, &maxAge) == nil {
		req.Params.Set("max_age", strconv.FormatInt(maxAge, 10))
	}
	if values := listMember(metadata, "default_acr_values"); len(values) > 0 && !req.Params.Has("acr_values") {
		req.Params.Set("acr_values", strings.Join(values, " "))
	}
}

// PrepareInteraction sets what prompt, id_token_hint and the claims parameter require of
// the page.
func (p *Provider) PrepareInteraction(ctx context.Context, req *server.Request, consent *server.ConsentGrant) error {
	for word := range strings.FieldsSeq(req.Params.Get("prompt")) {
		switch word {
		case promptLogin:
			consent.RequireSignIn()
		case promptConsent:
			consent.RequireConsent()
		case promptSelectAccount:
			consent.RequireAccountChoice()
		}
	}
	if clientmeta.AsksFor(req.Client, "require_auth_time") && req.Authentication.Time == 0 {
		consent.RequireSignIn()
	}
	if err := p.checkHint(ctx, req, consent); err != nil {
		return err
	}
	return p.checkRequestedClaims(req, consent)
}

// checkHint requires the user to be that of the id_token_hint (OpenID Connect Core section
// 3.1.2.1).
func (p *Provider) checkHint(ctx context.Context, req *server.Request, consent *server.ConsentGrant) error {
	text := req.Params.Get("id_token_hint")
	if text == "" {
		return nil
	}
	hint, why, err := p.readHint(ctx, req, text)
	if err != nil {
		return err
	}
	if why == nil && !slices.Contains(hint.audience, req.Client.GetClientID()) {
		why = otherAudience(hint)
	}
	if why != nil {
		return errOtherHint().BecauseOf(why)
	}
	if req.User != nil && req.Server.Subject(req.Client, req.User.GetUserID()) != hint.subject {
		consent.RequireOtherUser()
	}
	return nil
}

func errOtherHint() *server.Error {
	return server.NewError(server.InvalidRequest, "The 'id_token_hint' is not an ID token that this server issued to this client.")
}

func otherAudience(from *hint) error {
	return reason.New("the ID token was issued to another client", slog.String("audience", strings.Join(from.audience, " ")))
}

// checkRequestedClaims requires the user to have the "sub", and the sign-in to have the
// essential "acr", that the claims parameter asks for (OpenID Connect Core section
// 5.5.1.1).
func (*Provider) checkRequestedClaims(req *server.Request, consent *server.ConsentGrant) error {
	if req.User == nil || req.Authorization.Claims == "" {
		return nil
	}
	requested, err := ParseClaims(req.Authorization.Claims)
	if err != nil { // not so after CheckAuthorizationRequest, but a "sub" must not be overlooked
		return err
	}
	subject := req.Server.Subject(req.Client, req.User.GetUserID())
	if !requested.IDToken["sub"].allows(subject) || !requested.UserInfo["sub"].allows(subject) {
		consent.RequireOtherUser()
	}
	acr := requested.IDToken["acr"]
	if acr == nil || !acr.Essential || acr.allows(req.Authentication.ACR) {
		return nil
	}
	if consent.Returned() {
		return server.NewError(server.UnmetAuthenticationRequirements, "The user could not sign in as the request requires.")
	}
	consent.RequireSignIn()
	return nil
}
