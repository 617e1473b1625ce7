package endpoint

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/ondemand"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/device"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// DeviceAuthorization is the device authorization endpoint (RFC 8628), named
// "device_authorization": a device without a browser or keyboard gets a device code, and a
// user code that its user types into the program's verification page. That page calls
// [DeviceAuthorization.GetConsentGrant] and [DeviceAuthorization.Decide]; the device gets
// its token by grant.DeviceCode.
type DeviceAuthorization struct {
	// Storage stores the codes.
	Storage device.Storage
	// VerificationURI is the URL of the verification page. Empty means /device below the
	// issuer.
	VerificationURI string
	// ExpiresIn is how long the codes are valid. 0 means ten minutes.
	ExpiresIn time.Duration
	// Interval is how long a device must wait between two polls. 0 means five seconds.
	Interval time.Duration
	// Attempts limits how many user codes one user may try, so that a code cannot be
	// guessed (RFC 8628 section 5.1). nil allows twenty in ten minutes, counted in this
	// process.
	Attempts ratelimit.Limiter
	// PublicRequests limits, per network address, how many codes are issued to public
	// clients, which anyone can impersonate. nil allows 300 in ten minutes, counted in this
	// process.
	PublicRequests ratelimit.Limiter

	attempts, publicRequests ondemand.Limiter // for Attempts and PublicRequests, if they are nil
}

const (
	defaultDeviceCodeExpiresIn = 10 * time.Minute
	defaultPollInterval        = 5 * time.Second
	userCodeAttempts           = 20
	userCodeAttemptsPer        = 10 * time.Minute
	deviceCodeGrantType        = "urn:ietf:params:oauth:grant-type:device_code"
)

// EndpointName returns "device_authorization".
func (*DeviceAuthorization) EndpointName() string { return "device_authorization" }

// EndpointPath returns "/oauth/device_authorization".
func (*DeviceAuthorization) EndpointPath() string { return "/oauth/device_authorization" }

// RedeemedBy returns the grant type that redeems device codes (RFC 8628 section 3.4).
func (*DeviceAuthorization) RedeemedBy() string { return deviceCodeGrantType }

// PrepareMetadata adds the endpoint's URL (RFC 8628 section 4).
func (*DeviceAuthorization) PrepareMetadata(s *server.Server, metadata server.Metadata) {
	metadata["device_authorization_endpoint"] = s.EndpointURL("device_authorization")
}

// CheckConfig returns an error for each missing or invalid field.
func (e *DeviceAuthorization) CheckConfig(config *server.Config) error {
	var faults []error
	if e.Storage == nil {
		faults = append(faults, errors.New("endpoint: DeviceAuthorization.Storage is missing: write gormoauth.CreateDeviceCodeStorage[DeviceCode](db)"))
	}
	if e.ExpiresIn < 0 || e.Interval < 0 {
		faults = append(faults, errors.New("endpoint: DeviceAuthorization.ExpiresIn and Interval must not be negative"))
	}
	if u, err := url.Parse(e.verificationURI(config.Issuer)); err != nil || !u.IsAbs() || u.Fragment != "" {
		faults = append(faults, errors.New("endpoint: DeviceAuthorization.VerificationURI must be an absolute URL"))
	}
	return errors.Join(faults...)
}

func (e *DeviceAuthorization) expiresIn() time.Duration {
	return cmp.Or(e.ExpiresIn, defaultDeviceCodeExpiresIn)
}

func (e *DeviceAuthorization) interval() time.Duration {
	return cmp.Or(e.Interval, defaultPollInterval)
}

func (e *DeviceAuthorization) verificationURI(issuer string) string {
	return cmp.Or(e.VerificationURI, strings.TrimSuffix(issuer, "/")+"/device")
}

// deviceAuthorizationResponse is the response of RFC 8628 section 3.2.
type deviceAuthorizationResponse struct {
	DeviceCode              string `json:"device_code"`
	UserCode                string `json:"user_code"`
	VerificationURI         string `json:"verification_uri"`
	VerificationURIComplete string `json:"verification_uri_complete"`
	ExpiresIn               int64  `json:"expires_in"`
	Interval                int64  `json:"interval"`
}

// IsReplaySafe marks the endpoint as one where a replayed request does no harm.
func (*DeviceAuthorization) IsReplaySafe() {}

// CreateResponse issues the codes.
func (e *DeviceAuthorization) CreateResponse(ctx context.Context, req *server.Request) (*server.Response, error) {
	if !req.Client.CheckGrantType(deviceCodeGrantType) {
		return nil, server.NewError(server.UnauthorizedClient, "The client may not use this 'grant_type'.")
	}
	if err := checkPublicRequest(ctx, req, publicRequestsOr(&e.publicRequests, e.PublicRequests)); err != nil {
		return nil, err
	}
	if err := req.CheckAuthorization(ctx); err != nil {
		return nil, err
	}
	deviceCode, presented := req.Server.GenerateCode(secret.DeviceCode, rand.Text())
	userCode, err := e.save(ctx, req, presented)
	if err != nil {
		return nil, err
	}
	verificationURI := e.verificationURI(req.Server.Issuer())
	complete, err := url.Parse(verificationURI)
	if err != nil {
		return nil, err
	}
	query := complete.Query()
	query.Set("user_code", userCode)
	complete.RawQuery = query.Encode()
	return &server.Response{Body: deviceAuthorizationResponse{
		DeviceCode: deviceCode, UserCode: userCode, VerificationURI: verificationURI, VerificationURIComplete: complete.String(),
		ExpiresIn: int64(e.expiresIn() / time.Second), Interval: int64(e.interval() / time.Second),
	}}, nil
}

// save stores the codes, with a user code that is not in use.
func (e *DeviceAuthorization) save(ctx context.Context, req *server.Request, presented secret.Presented) (userCode string, err error) {
	const attempts = 5 // each fails with a chance of a few in a billion
	for range attempts {
		userCode = newUserCode()
		record := &models.DeviceCodeMixin{
			DeviceCode:   presented.Digest,
			UserCode:     digestUserCode(userCode),
			IssuedAt:     req.Time.Unix(),
			ExpiresAt:    req.Time.Add(e.expiresIn()).Unix(),
			PollInterval: int64(e.interval() / time.Second),
		}
		record.SetAuthorization(req.NewAuthorization(presented.GrantID))
		record.SetGranted(req.Granted)
		err = req.StoreOutcome(ctx, func(ctx context.Context) error { return e.Storage.SaveDeviceCode(ctx, record, req) })
		if !errors.Is(err, storage.ErrTaken) {
			break
		}
	}
	if err != nil {
		return "", fmt.Errorf("save device code: %w", err)
	}
	return userCode, nil
}

// The letters of a user code: no vowels, so that it spells no words, and no letters that
// look or sound alike (RFC 8628 section 6.1). Eight of them are 34 bits.
const (
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
)

// newUserCode returns a user code in the form that is shown to the user: WDJB-MJHT.
func newUserCode() string {
	const fair = 256 - 256%len(userCodeLetters) // larger bytes would favour some letters
	code := make([]byte, 0, userCodeLength+1)
	for random := make([]byte, 1); len(code) < cap(code); {
		if len(code) == userCodeLength/2 {
			code = append(code, '-')
		}
		_, _ = rand.Read(random) // never fails
		if int(random[0]) < fair {
			code = append(code, userCodeLetters[int(random[0])%len(userCodeLetters)])
		}
	}
	return string(code)
}

// digestUserCode returns the digest under which a user code is stored, however the user
// types it: in lower case, with the hyphen elsewhere or without it. It returns "" for a
// malformed user code.
func digestUserCode(typed string) string {
	letters := strings.Map(func(c rune) rune {
		if strings.ContainsRune(userCodeLetters, c) {
			return c
		}
		return -1
	}, strings.ToUpper(typed))
	if len(letters) != userCodeLength {
		return ""
	}
	return secret.Digest(letters)
}

// GetConsentGrant returns what a device asks for, to show on the consent page. The
// request's user_code identifies the device. The page must show the code, so that the user
// can compare it with the one on the device (RFC 8628 section 5.4), even if it came from
// verification_uri_complete. user is the user who is signed in, and must not be nil.
//
// If the code is unknown, used or expired, the error is invalid_grant; if the user has
// tried too many codes, it is temporarily_unavailable. Show the user srv.Describe(r, err).
func (e *DeviceAuthorization) GetConsentGrant(srv *server.Server, r *http.Request, user storage.User) (consent *server.ConsentGrant, err error) {
	err = srv.ObservePage(r, devicePage, func(r *http.Request) (*server.Request, error) {
		req, _, err := e.pending(srv, r, user)
		if err == nil {
			consent = &server.ConsentGrant{Client: req.Client, User: req.User, Scope: req.Scope, Request: req, Decision: decisionOn(req)}
			consent.Deciding, _ = req.IsDecision(consent.Decision)
		}
		return req, err
	})
	return consent, err
}

// devicePage is the name of the verification page.
const devicePage = "device"

// decisionOn returns the decision that the verification page posts back.
func decisionOn(req *server.Request) server.Decision {
	return req.Decision(digestUserCode(req.Params.Get("user_code")))
}

// Decide stores the user's decision on the device that the request's user_code identifies.
// The request must be a POST from the page, with the consent grant's Decision. Otherwise
// the error is [server.ErrNoDecision]: show the page again. The other errors are those of
// [DeviceAuthorization.GetConsentGrant].
func (e *DeviceAuthorization) Decide(srv *server.Server, r *http.Request, user storage.User, approved bool) error {
	return srv.ObservePage(r, devicePage, func(r *http.Request) (*server.Request, error) {
		req, device, err := e.pending(srv, r, user)
		if err != nil {
			return req, err
		}
		if decided, _ := req.IsDecision(decisionOn(req)); !decided {
			return req, server.NoDecision()
		}
		return req, e.decide(req, device, approved)
	})
}

func (e *DeviceAuthorization) decide(req *server.Request, row device.Code, approved bool) error {
	userCode := digestUserCode(req.Params.Get("user_code"))
	decision := device.Decision{DeviceCode: row, User: req.User, Approved: approved, Authentication: req.Authentication, Time: req.Time}
	if approved {
		user, err := req.Server.QueryUser(req.Context(), req.User.GetUserID())
		if err != nil {
			return err
		}
		if user == nil {
			return server.NewError(server.AccessDenied, "The resource owner is gone or disabled.")
		}
		decision.UserGeneration = storage.GenerationOf(user)
	}
	decided, err := e.Storage.DecideDeviceCode(req.Context(), userCode, decision)
	if err != nil {
		return fmt.Errorf("decide device code: %w", err)
	}
	if !decided {
		return errNoSuchUserCode().Because("the user code was used before")
	}
	return nil
}

// pending finds the device code that waits for the user's decision. On error it returns as
// much of the request as it has read.
func (e *DeviceAuthorization) pending(srv *server.Server, r *http.Request, user storage.User) (req *server.Request, row device.Code, err error) {
	if srv.EndpointURL(e.EndpointName()) == "" {
		return nil, nil, errors.New("endpoint: DeviceAuthorization is not registered")
	}
	if server.IsNilUser(user) {
		return nil, nil, server.NewError(server.AccessDenied, "The user must sign in before entering a code.")
	}
	if req, err = srv.ParseRequest(r, devicePage); err != nil {
		return req, nil, err
	}
	req.SetUser(user)
	ctx := req.Context()
	wait, err := e.attempts.Or(e.Attempts, userCodeAttempts, userCodeAttemptsPer).Allow(ctx, user.GetUserID())
	if err != nil {
		return req, nil, fmt.Errorf("limit the user codes: %w", err)
	}
	if wait > 0 {
		return req, nil, server.TooManyRequests(wait, "Too many codes were tried. Please try again later.")
	}
	userCode := digestUserCode(req.Params.Get("user_code"))
	if userCode == "" {
		return req, nil, errNoSuchUserCode().Because("the user code is malformed")
	}
	stored, err := e.Storage.QueryDeviceCode(ctx, device.Query{UserCode: userCode})
	if err != nil {
		return req, nil, fmt.Errorf("query device code: %w", err)
	}
	switch {
	case stored == nil:
		return req, nil, errNoSuchUserCode().Because("the user code is unknown")
	case !srv.Issued(stored.DeviceCode.GetAuthorization()):
		return req, nil, errNoSuchUserCode().BecauseOf(storage.NotIssued(stored.DeviceCode.GetAuthorization()))
	case stored.DeviceCode.IsApproved() || stored.DeviceCode.IsDenied():
		return req, nil, errNoSuchUserCode().Because("the user code was used before")
	case stored.DeviceCode.IsExpired(req.Time):
		return req, nil, errNoSuchUserCode().Because("the user code has expired")
	}
	client, err := srv.QueryClient(ctx, stored.DeviceCode.GetClientID())
	if err != nil {
		return req, nil, err
	}
	if client == nil {
		return req, nil, errNoSuchUserCode().BecauseOf(req.WhyNoClient(reason.New("the client of the user code is gone", slog.String("client_id", stored.DeviceCode.GetClientID()))))
	}
	req.Client, req.Granted = client, stored.DeviceCode.GetGranted()
	return req, stored.DeviceCode, nil
}

func errNoSuchUserCode() *server.Error {
	return server.NewError(server.InvalidGrant, "The code is unknown, was already used or has expired.")
}
