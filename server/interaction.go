package server

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/server/reason"
)

// Interaction is what the page of an authorization request has to do next.
type Interaction int

const (
	// AskConsent tells the page to show what the client asks for, and to let the user decide.
	AskConsent Interaction = iota
	// SignIn tells the page to let a user sign in, even if one is signed in already, and to
	// return to [ConsentGrant.ReturnTo].
	SignIn
	// SelectAccount tells the page to let the user choose among accounts, and to return to
	// [ConsentGrant.ReturnTo].
	SelectAccount
	// NoInteraction tells the page to ask nothing, because the user has consented before: it
	// calls [Server.CreateAuthorizationResponse] at once.
	NoInteraction
)

// requirements are what the hooks require of the interaction.
type requirements struct {
	signIn, otherUser, accountChoice, consent, agreed, silence bool
}

// RequireSignIn requires a sign-in for this very request.
func (c *ConsentGrant) RequireSignIn() { c.requires.signIn = true }

// RequireOtherUser requires a different user to sign in.
func (c *ConsentGrant) RequireOtherUser() { c.requires.otherUser = true }

// RequireAccountChoice requires the user to choose an account for this very request.
func (c *ConsentGrant) RequireAccountChoice() { c.requires.accountChoice = true }

// RequireConsent requires that the user is asked, whatever they agreed to before.
func (c *ConsentGrant) RequireConsent() { c.requires.consent = true }

// Agreed states that the user has already agreed to everything that the client asks for.
func (c *ConsentGrant) Agreed() { c.requires.agreed = true }

// ForbidInteraction refuses the request if the page would have to do anything (OpenID Connect
// Core section 3.1.2.1, prompt=none).
func (c *ConsentGrant) ForbidInteraction() { c.requires.silence = true }

// Returned reports whether the user has returned from signing in for this very request.
func (c *ConsentGrant) Returned() bool {
	how := c.Request.Authentication
	return c.returned(how.ReturnTo, how.ReturnedAt)
}

// chosen reports whether the user has returned from choosing an account for this very request, or
// from signing in for it.
func (c *ConsentGrant) chosen() bool {
	how := c.Request.Authentication
	return c.Returned() || c.returned(how.AccountChosenFor, how.AccountChosenAt)
}

func (c *ConsentGrant) returned(to string, at int64) bool {
	return to == c.ReturnTo && c.Request.Time.Unix()-at <= int64(consentTime/time.Second)
}

// interact returns what the page has to do, and whether the request is the user's decision.
func (s *Server) interact(ctx context.Context, req *Request) (*ConsentGrant, error) {
	consent := &ConsentGrant{
		Client: req.Client, User: req.User, Scope: req.Scope, RedirectURI: req.RedirectURI, Request: req, ReturnTo: req.returnTo(),
		Decision: req.Decision(req.Params),
	}
	if req.Params.Get("prompt") == promptNone {
		consent.ForbidInteraction()
	}
	if req.wantsSignIn() {
		consent.RequireSignIn()
	}
	if req.User != nil {
		consent.Deciding, consent.agreed = req.IsDecision(consent.Decision)
		req.decided = consent.Deciding
	}
	err := each(req, func(hook InteractionHook) error { return hook.PrepareInteraction(ctx, req, consent) })
	consent.Interaction = consent.next()
	if err == nil && consent.Interaction == SignIn && consent.User != nil && consent.Returned() {
		err = consent.mayDecide() // signing in again would only repeat the sign-in that was not enough
	}
	return consent, err
}

// wantsSignIn reports whether the request has a max_age of 0, which means the same as
// prompt=login (OpenID Connect Core with errata set 2, section 3.1.2.1): even a sign-in within
// the same second was not made for this request.
func (r *Request) wantsSignIn() bool {
	seconds, err := strconv.Atoi(r.Params.Get("max_age"))
	return err == nil && seconds == 0
}

// logUndecided tells the operator why a posted form is not a decision.
func (c *ConsentGrant) logUndecided() {
	req := c.Request
	if req.HTTP.Method != http.MethodPost {
		return
	}
	why := "the page was shown for a different user, client or request"
	if len(req.HTTP.PostForm[DecisionField]) == 0 {
		why = "the form has no field '" + DecisionField + "': write {{.Decision.Input}} into it"
	}
	req.LogRefusal(reason.New("the form is not the user's decision: " + why))
}

// next returns what the page has to do. A user who has returned from signing in has done what
// they could: the request may ask for a class by acr_values that they do not reach, and for less
// than a second by max_age. acr_values is a voluntary request (OpenID Connect Core section
// 5.5.1.1), so a request that forbids all pages is answered without it.
func (c *ConsentGrant) next() Interaction {
	requires, returned := c.requires, c.Returned()
	recent := c.Request.recentEnough(0) || returned && c.Request.recentEnough(consentTime)
	switch {
	case c.User == nil, !recent, requires.otherUser, (requires.signIn || c.weaker() && !requires.silence) && !returned:
		return SignIn
	case requires.accountChoice && !c.chosen():
		return SelectAccount
	case requires.agreed && !requires.consent:
		return NoInteraction
	}
	return AskConsent
}

// weaker reports whether the request asks for an authentication context class other than the one
// the user reached (acr_values, RFC 9470 section 4).
func (c *ConsentGrant) weaker() bool {
	acrValues := strings.Fields(c.Request.Params.Get("acr_values"))
	return len(acrValues) > 0 && !slices.Contains(acrValues, c.Request.Authentication.ACR)
}

// silent refuses a request that forbids interaction if interaction is needed (OpenID Connect Core
// section 3.1.2.6).
func (c *ConsentGrant) silent() error {
	if !c.requires.silence {
		return nil
	}
	switch c.Interaction {
	case SignIn:
		return NewError(LoginRequired, "The user has to sign in, but 'prompt' allows no interaction.")
	case SelectAccount:
		return NewError(AccountSelectionRequired, "The user has to choose an account, but 'prompt' allows no interaction.")
	case AskConsent:
		return NewError(ConsentRequired, "The user has to consent, but 'prompt' allows no interaction.")
	default:
		return nil
	}
}

// mayDecide refuses the decision of a user who was not asked for what the request requires: the
// page did not do it, or another user has signed in meanwhile.
func (c *ConsentGrant) mayDecide() error {
	requires, returned := c.requires, c.Returned()
	switch {
	case !c.Request.recentEnough(consentTime):
		return NewError(UnmetAuthenticationRequirements, "The user did not sign in as recently as 'max_age' requires.")
	case requires.otherUser:
		return NewError(LoginRequired, "The request is for a different user.")
	case requires.signIn && !returned:
		return NewError(LoginRequired, "The user did not sign in for this request, as it requires.")
	case requires.accountChoice && !c.chosen():
		return NewError(AccountSelectionRequired, "The user did not choose an account for this request, as it requires.")
	}
	return nil
}
