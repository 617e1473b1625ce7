package server

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Interaction is what the page of an authorization request has to do next.
type Interaction int

const (
	// AskConsent has the page show what the client asks for, and the user decide.
	AskConsent Interaction = iota
	// SignIn has the page let somebody sign in, whoever is signed in already, and
	// come back to [ConsentGrant.ReturnTo].
	SignIn
	// SelectAccount has the page let the user choose among accounts, and come back
	// to [ConsentGrant.ReturnTo].
	SelectAccount
	// NoInteraction has the page ask nothing, since the user has agreed before: it
	// answers at once with [Server.CreateAuthorizationResponse].
	NoInteraction
)

// InteractionHook has a say in what the page has to do. It calls the methods of
// the consent grant, in whatever order the hooks are registered; or it refuses
// the request.
type InteractionHook interface {
	PrepareInteraction(ctx context.Context, req *Request, consent *ConsentGrant) error
}

// requirements are what the hooks say of the interaction.
type requirements struct {
	signIn, otherUser, accountChoice, consent, agreed, silence bool
}

// RequireSignIn wants a sign-in for this very request.
func (c *ConsentGrant) RequireSignIn() { c.requires.signIn = true }

// RequireOtherUser wants somebody else than the user to sign in.
func (c *ConsentGrant) RequireOtherUser() { c.requires.otherUser = true }

// RequireAccountChoice wants the user to choose an account for this very request.
func (c *ConsentGrant) RequireAccountChoice() { c.requires.accountChoice = true }

// RequireConsent wants the user asked, whatever they agreed to before.
func (c *ConsentGrant) RequireConsent() { c.requires.consent = true }

// Agreed says that the user agreed before to all that the client asks for.
func (c *ConsentGrant) Agreed() { c.requires.agreed = true }

// ForbidInteraction refuses the request when the page would have to do anything
// (OpenID Connect Core section 3.1.2.1, prompt=none).
func (c *ConsentGrant) ForbidInteraction() { c.requires.silence = true }

// Returned reports whether the user has come back from signing in, or from
// choosing an account, for this very request.
func (c *ConsentGrant) Returned() bool {
	how := c.Request.Authentication
	return how.ReturnTo == c.ReturnTo && c.Request.Time.Unix()-how.ReturnedAt <= int64(consentTime/time.Second)
}

// interact says what the page has to do.
func (s *Server) interact(ctx context.Context, req *Request, deciding bool) (*ConsentGrant, error) {
	consent := &ConsentGrant{
		Client: req.Client, User: req.User, Scope: req.Scope, RedirectURI: req.RedirectURI, Request: req, ReturnTo: returnTo(req.HTTP),
		Deciding: deciding,
	}
	err := each(req, func(hook InteractionHook) error { return hook.PrepareInteraction(ctx, req, consent) })
	consent.Interaction = consent.next()
	return consent, err
}

// returnTo is the address of a request, whose parameters may have come in a body.
func returnTo(r *http.Request) string {
	if r.Method == http.MethodPost && r.URL.RawQuery == "" && len(r.PostForm) > 0 {
		return r.URL.EscapedPath() + "?" + r.PostForm.Encode()
	}
	return r.URL.RequestURI()
}

// next is what the page has to do. Whoever has come back from signing in has done
// what they could: a request may ask for more by acr_values, and for less than a
// second by max_age.
func (c *ConsentGrant) next() Interaction {
	requires, returned := c.requires, c.Returned()
	recent := c.Request.recentEnough(0) || returned && c.Request.recentEnough(consentTime)
	switch {
	case c.User == nil, !recent, requires.otherUser, (requires.signIn || c.weaker()) && !returned:
		return SignIn
	case requires.accountChoice && !returned:
		return SelectAccount
	case requires.agreed && !requires.consent:
		return NoInteraction
	}
	return AskConsent
}

// weaker reports whether the request asks for another authentication context
// class than the user reached (acr_values, RFC 9470 section 4).
func (c *ConsentGrant) weaker() bool {
	acrValues := strings.Fields(c.Request.Params.Get("acr_values"))
	return len(acrValues) > 0 && !slices.Contains(acrValues, c.Request.Authentication.ACR)
}

// silent refuses a request that wants nobody asked when somebody would have to be
// (OpenID Connect Core section 3.1.2.6).
func (c *ConsentGrant) silent() error {
	if !c.requires.silence {
		return nil
	}
	switch c.Interaction {
	case SignIn:
		return NewError(LoginRequired, "The user would have to sign in, and 'prompt' forbids to ask.")
	case SelectAccount:
		return NewError(AccountSelectionRequired, "The user would have to choose an account, and 'prompt' forbids to ask.")
	case AskConsent:
		return NewError(ConsentRequired, "The user would have to consent, and 'prompt' forbids to ask.")
	default:
		return nil
	}
}

// decided refuses the decision of a user who was not asked for what the request
// wants: the page forgot, or somebody else has signed in meanwhile.
func (c *ConsentGrant) decided() error {
	requires, returned := c.requires, c.Returned()
	switch {
	case !c.Request.recentEnough(consentTime):
		return NewError(UnmetAuthenticationRequirements, "The user did not sign in as recently as 'max_age' asks.")
	case requires.otherUser:
		return NewError(LoginRequired, "The user is not the one for whom the request is.")
	case requires.signIn && !returned:
		return NewError(LoginRequired, "The user did not sign in for this request, as it asks.")
	case requires.accountChoice && !returned:
		return NewError(AccountSelectionRequired, "The user did not choose an account for this request, as it asks.")
	}
	return nil
}
