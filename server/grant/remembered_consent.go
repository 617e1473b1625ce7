package grant

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// RememberedConsent remembers what users have allowed, so that nobody is asked twice:
// the page of a request that asks for nothing new is told [server.NoInteraction].
// Register it for every request:
//
//	srv.Register(&grant.RememberedConsent{Storage: gormoauth.CreateConsentStorage[Consent, Token, AuthorizationCode](db)})
//
// A client that anybody could pretend to be is asked about every time: one without a
// secret whose redirect URI is not an https address (RFC 8252 section 8.6).
type RememberedConsent struct {
	// Storage keeps the consents.
	Storage ConsentStorage
	// ExpiresIn is how long a consent is remembered; 0 is until it is revoked.
	ExpiresIn time.Duration
}

// ConsentStorage keeps what users have allowed.
type ConsentStorage interface {
	// QueryConsent returns what a user has allowed a client, or nil.
	QueryConsent(ctx context.Context, userID, clientID string) (*models.ConsentMixin, error)
	// SaveConsent puts a consent in the place of the one of an earlier revision, old,
	// nil when there was none. It reports false when somebody else was faster.
	SaveConsent(ctx context.Context, old, consent *models.ConsentMixin, user server.User) (saved bool, err error)
}

// CheckConfig names what is missing.
func (r *RememberedConsent) CheckConfig(*server.Config) error {
	var faults []error
	if r.Storage == nil {
		faults = append(faults, errors.New("grant: RememberedConsent.Storage is missing: write gormoauth.CreateConsentStorage[Consent, Token, AuthorizationCode](db)"))
	}
	if r.ExpiresIn < 0 {
		faults = append(faults, errors.New("grant: RememberedConsent.ExpiresIn must not be negative"))
	}
	return errors.Join(faults...)
}

// PrepareInteraction says that the user has agreed before, if they have, to all that
// the request asks for.
func (r *RememberedConsent) PrepareInteraction(ctx context.Context, req *server.Request, consent *server.ConsentGrant) error {
	if req.User == nil || consent.Deciding || !isRecognizable(req) {
		return nil
	}
	known, err := r.Storage.QueryConsent(ctx, req.User.GetUserID(), req.Client.GetClientID())
	if err != nil {
		return fmt.Errorf("query a consent: %w", err)
	}
	if known != nil && r.isCurrent(known, req.Time) && covers(known, req) {
		consent.Agreed()
	}
	return nil
}

func (r *RememberedConsent) isCurrent(known *models.ConsentMixin, now time.Time) bool {
	return r.ExpiresIn == 0 || now.Unix() < known.GrantedAt+int64(r.ExpiresIn/time.Second)
}

// isRecognizable reports whether the client could not be another one.
func isRecognizable(req *server.Request) bool {
	if !req.Client.CheckEndpointAuthMethod(models.None, "token") {
		return true
	}
	u, err := weburi.Parse(req.RedirectURI)
	return err == nil && u.Scheme == "https"
}

// covers reports whether a consent includes all that a request asks for.
func covers(known *models.ConsentMixin, req *server.Request) bool {
	return includes(known.Scope, req.Scope) && names(strings.Fields(known.Audience), strings.Fields(req.Audience)) &&
		(req.Authorization.Claims == "" || req.Authorization.Claims == known.Claims) && len(newDetails(known.GetAuthorizationDetails(), req.AuthorizationDetails)) == 0
}

// includes reports whether every word is among those that are known.
func includes(known, words string) bool { return missingIn(known, words) == "" }

// missingIn returns the words that are not among those that are known.
func missingIn(known, words string) string {
	all := strings.Fields(known)
	return strings.Join(slices.DeleteFunc(strings.Fields(words), func(word string) bool { return slices.Contains(all, word) }), " ")
}

// newDetails returns those authorization details that are not known.
func newDetails(known, requested string) []AuthorizationDetail {
	all, _ := ParseAuthorizationDetails(known)         // which was cleared of what has two readings
	details, _ := ParseAuthorizationDetails(requested) // which were checked
	return slices.DeleteFunc(details, func(detail AuthorizationDetail) bool {
		return slices.ContainsFunc(all, func(one AuthorizationDetail) bool { return sameDetail(one, detail) })
	})
}

// consentAttempts is how often a consent is saved that others change as well.
const consentAttempts = 10

// PrepareAuthorizationResponse remembers what the user has just allowed, beside what
// they allowed before.
func (r *RememberedConsent) PrepareAuthorizationResponse(ctx context.Context, req *server.Request, _ map[string][]string) error {
	for range consentAttempts {
		known, err := r.Storage.QueryConsent(ctx, req.User.GetUserID(), req.Client.GetClientID())
		if err != nil {
			return fmt.Errorf("query a consent: %w", err)
		}
		if known != nil && r.isCurrent(known, req.Time) && covers(known, req) {
			return nil
		}
		saved, err := r.Storage.SaveConsent(ctx, known, r.extended(known, req), req.User)
		if err != nil {
			return fmt.Errorf("save a consent: %w", err)
		}
		if saved {
			return nil
		}
	}
	return nil // it is asked for once more: nothing was lost but a click
}

// extended is a consent to what was known, if that has not expired, and to the
// request.
func (r *RememberedConsent) extended(known *models.ConsentMixin, req *server.Request) *models.ConsentMixin {
	clientID, longClientID := models.SplitClientID(req.Client.GetClientID())
	consent := &models.ConsentMixin{
		ClientID: clientID, LongClientID: longClientID, Scope: req.Scope, Audience: req.Audience, Claims: req.Authorization.Claims,
		AuthorizationDetails: req.AuthorizationDetails, GrantedAt: req.Time.Unix(), Revision: 1,
	}
	if known == nil {
		return consent
	}
	consent.Revision = known.Revision + 1
	if !r.isCurrent(known, req.Time) {
		return consent
	}
	consent.Scope, consent.Audience = union(known.Scope, req.Scope), union(known.Audience, req.Audience)
	consent.Claims = cmp.Or(req.Authorization.Claims, known.Claims)
	consent.AuthorizationDetails = known.GetAuthorizationDetails()
	if fresh := newDetails(known.GetAuthorizationDetails(), req.AuthorizationDetails); len(fresh) > 0 {
		all, _ := ParseAuthorizationDetails(consent.AuthorizationDetails)
		text, err := json.Marshal(append(all, fresh...))
		if err == nil {
			consent.AuthorizationDetails = string(text)
		}
	}
	return consent
}

func union(known, words string) string {
	all := strings.Fields(known)
	for word := range strings.FieldsSeq(words) {
		if !slices.Contains(all, word) {
			all = append(all, word)
		}
	}
	return strings.Join(all, " ")
}
