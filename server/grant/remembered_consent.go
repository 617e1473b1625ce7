package grant

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/internal/wordlist"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// RememberedConsent remembers what users have allowed, so that they are not asked twice:
// for a request that asks for nothing new, the consent page gets [server.NoInteraction].
// Register it for every request:
//
//	srv.Register(&grant.RememberedConsent{Storage: gormoauth.CreateConsentStorage[Consent, Token, AuthorizationCode](db)})
//
// For a client that can be impersonated, the user is asked every time. Such a client has no
// secret, and its redirect URI is not an https URI (RFC 8252 section 8.6).
type RememberedConsent struct {
	// Storage stores the consents.
	Storage ConsentStorage
	// ExpiresIn is how long a consent is remembered. 0 means until it is revoked. Each part
	// of a consent, such as one scope value, has its own time, which restarts whenever the
	// user consents to that part.
	ExpiresIn time.Duration
}

// ConsentStorage stores what users have allowed.
type ConsentStorage interface {
	// QueryConsent returns what a user has allowed a client, or nil if there is no consent.
	QueryConsent(ctx context.Context, userID, clientID string) (*models.ConsentMixin, error)
	// SaveConsent replaces the earlier revision old by consent. old is nil if there was
	// none. It returns false if a concurrent request changed the consent first.
	SaveConsent(ctx context.Context, old, consent *models.ConsentMixin, user storage.User) (saved bool, err error)
}

// CheckConfig returns an error for each missing or invalid field.
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

// Registered makes the server tell its hooks of revoked consents.
func (r *RememberedConsent) Registered(s *server.Server) { s.TellRevocations(r.Storage) }

// PrepareInteraction marks the request as agreed if the user has already consented to
// everything that it asks for.
func (r *RememberedConsent) PrepareInteraction(ctx context.Context, req *server.Request, consent *server.ConsentGrant) error {
	if req.User == nil || consent.Deciding || !isRecognizable(req) {
		return nil
	}
	known, err := r.Storage.QueryConsent(ctx, req.User.GetUserID(), req.Client.GetClientID())
	if err != nil {
		return fmt.Errorf("query a consent: %w", err)
	}
	if covers(r.current(known, req.Time), req) {
		consent.Agreed()
	}
	return nil
}

// current returns the parts of a consent that have not expired, or nil if there is no
// consent.
func (r *RememberedConsent) current(known *models.ConsentMixin, now time.Time) *models.ConsentMixin {
	if known == nil || r.ExpiresIn == 0 {
		return known
	}
	dates := datesOf(known)
	lasts := func(part string) bool { return now.Unix() < dates.of(part)+int64(r.ExpiresIn/time.Second) }
	current := *known
	current.Scope = wordlist.Keep(known.Scope, func(word string) bool { return lasts(scopePart + word) })
	current.Audience = wordlist.Keep(known.Audience, func(one string) bool { return lasts(resourcePart + one) })
	if !lasts(claimsPart) {
		current.Claims = ""
	}
	details, _ := ParseAuthorizationDetails(known.GetAuthorizationDetails())
	current.AuthorizationDetails = detailsText(slices.DeleteFunc(details, func(detail AuthorizationDetail) bool { return !lasts(detailPart(detail)) }))
	return &current
}

// Names of the parts of a consent, as used in its dates.
const (
	scopePart    = "scope:"
	resourcePart = "resource:"
	claimsPart   = "claims"
)

func detailPart(detail AuthorizationDetail) string {
	return "detail:" + secret.Digest(string(canonical(detail)))
}

// consentDates are when a user last consented to each part of a consent.
type consentDates struct {
	parts     map[string]int64
	otherwise int64
}

// datesOf returns the dates of a consent. A consent of an older release has one date for
// all parts.
func datesOf(known *models.ConsentMixin) consentDates {
	dates := consentDates{otherwise: known.GrantedAt}
	if strictjson.Unmarshal([]byte(known.PartsGrantedAt), &dates.parts) != nil {
		dates.parts = nil
	}
	return dates
}

func (d consentDates) of(part string) int64 {
	if date, ok := d.parts[part]; ok {
		return date
	}
	return d.otherwise
}

// detailsText is authorization details as they are stored, empty for none.
func detailsText(details []AuthorizationDetail) string {
	if len(details) == 0 {
		return ""
	}
	text, err := json.Marshal(details)
	if err != nil { // cannot happen: the details were read from JSON
		return ""
	}
	return string(text)
}

// isRecognizable reports whether no other client could impersonate this one.
func isRecognizable(req *server.Request) bool {
	if !req.Client.CheckEndpointAuthMethod(models.None, "token") {
		return true
	}
	u, err := weburi.Parse(req.RedirectURI)
	return err == nil && u.Scheme == "https"
}

// covers reports whether a consent includes everything that a request asks for.
func covers(known *models.ConsentMixin, req *server.Request) bool {
	return known != nil && includes(known.Scope, req.Scope) && names(strings.Fields(known.Audience), strings.Fields(req.Audience)) &&
		(req.Authorization.Claims == "" || req.Authorization.Claims == known.Claims) && len(newDetails(known.GetAuthorizationDetails(), req.AuthorizationDetails)) == 0
}

// includes reports whether known has every one of the words.
func includes(known, words string) bool { return wordlist.Without(words, known) == "" }

// newDetails returns the requested authorization details that are not among the known ones.
func newDetails(known, requested string) []AuthorizationDetail {
	all, _ := ParseAuthorizationDetails(known)         // already cleared of ambiguous JSON
	details, _ := ParseAuthorizationDetails(requested) // already checked
	return slices.DeleteFunc(details, func(detail AuthorizationDetail) bool {
		return slices.ContainsFunc(all, func(one AuthorizationDetail) bool { return sameDetail(one, detail) })
	})
}

// consentAttempts is how often saving a consent is tried while concurrent requests change
// it.
const consentAttempts = 10

// PrepareAuthorizationResponse adds what the user has just allowed to what they allowed
// before.
func (r *RememberedConsent) PrepareAuthorizationResponse(ctx context.Context, req *server.Request, _ map[string][]string) error {
	for range consentAttempts {
		known, err := r.Storage.QueryConsent(ctx, req.User.GetUserID(), req.Client.GetClientID())
		if err != nil {
			return fmt.Errorf("query a consent: %w", err)
		}
		current := r.current(known, req.Time)
		if covers(current, req) {
			return nil
		}
		saved, err := r.Storage.SaveConsent(ctx, known, extended(current, req), req.User)
		if err != nil {
			return fmt.Errorf("save a consent: %w", err)
		}
		if saved {
			return nil
		}
	}
	return nil // the user is asked once more next time, which costs only a click
}

// extended returns a consent to the known consent and the request together. known is nil if
// there is none.
func extended(known *models.ConsentMixin, req *server.Request) *models.ConsentMixin {
	clientID, longClientID := models.SplitClientID(req.Client.GetClientID())
	consent := &models.ConsentMixin{
		ClientID: clientID, LongClientID: longClientID, Scope: req.Scope, Audience: req.Audience, Claims: req.Authorization.Claims,
		AuthorizationDetails: req.AuthorizationDetails, GrantedAt: req.Time.Unix(),
	}
	dates := make(map[string]int64)
	if known == nil {
		consent.Revision = 1 + rand.Int64N(math.MaxInt32) //nolint:gosec // not a secret: a number that no revoked consent had
	} else {
		consent.Revision = known.Revision + 1
		consent.Scope, consent.Audience = union(known.Scope, req.Scope), union(known.Audience, req.Audience)
		consent.Claims = cmp.Or(req.Authorization.Claims, known.Claims)
		consent.AuthorizationDetails = known.GetAuthorizationDetails()
		if fresh := newDetails(known.GetAuthorizationDetails(), req.AuthorizationDetails); len(fresh) > 0 {
			all, _ := ParseAuthorizationDetails(consent.AuthorizationDetails)
			consent.AuthorizationDetails = cmp.Or(detailsText(append(all, fresh...)), consent.AuthorizationDetails)
		}
		before := datesOf(known)
		for _, part := range parts(known.Scope, known.Audience, known.Claims, known.GetAuthorizationDetails()) {
			dates[part] = before.of(part)
		}
	}
	for _, part := range parts(req.Scope, req.Audience, req.Authorization.Claims, req.AuthorizationDetails) {
		dates[part] = req.Time.Unix()
	}
	if text, err := json.Marshal(dates); err == nil { // always succeeds for a map of numbers
		consent.PartsGrantedAt = string(text)
	}
	return consent
}

// parts names the parts of a consent.
func parts(scope, audience, claims, authorizationDetails string) (names []string) {
	for word := range strings.FieldsSeq(scope) {
		names = append(names, scopePart+word)
	}
	for one := range strings.FieldsSeq(audience) {
		names = append(names, resourcePart+one)
	}
	if claims != "" {
		names = append(names, claimsPart)
	}
	details, _ := ParseAuthorizationDetails(authorizationDetails)
	for _, detail := range details {
		names = append(names, detailPart(detail))
	}
	return names
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
