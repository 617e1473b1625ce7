package endpoint

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// DeviceAuthorization is the device authorization endpoint (RFC 8628), named
// "device_authorization": a device without a browser, or without a keyboard,
// gets a code for itself and one that its owner types into the program's
// verification page. [DeviceAuthorization.GetConsentGrant] and
// [DeviceAuthorization.Decide] are that page's; the device gets its token by the
// grant DeviceCode of package grant.
type DeviceAuthorization struct {
	// Storage keeps the codes.
	Storage server.DeviceCodeStorage
	// VerificationURI is the address of the verification page; empty is /device
	// below the issuer.
	VerificationURI string
	// ExpiresIn is how long the codes last; 0 is ten minutes.
	ExpiresIn time.Duration
	// Interval is how long a device has to wait between two polls; 0 is five
	// seconds.
	Interval time.Duration
	// Attempts bounds how many user codes one user may try, so that nobody finds
	// a code by guessing (RFC 8628 section 5.1); nil is twenty in ten minutes, on
	// this instance.
	Attempts ratelimit.Limiter
	// PublicRequests bounds how many codes are issued to public clients, which
	// anybody can be, by network address; nil allows 300 in ten minutes, counted in
	// this process.
	PublicRequests ratelimit.Limiter
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

// RedeemedBy returns the grant type that takes device codes (RFC 8628 section 3.4).
func (*DeviceAuthorization) RedeemedBy() string { return deviceCodeGrantType }

// PrepareMetadata names the endpoint (RFC 8628 section 4).
func (*DeviceAuthorization) PrepareMetadata(s *server.Server, metadata server.Metadata) {
	metadata["device_authorization_endpoint"] = s.EndpointURL("device_authorization")
}

// CheckConfig names what is missing, and fills in what may be left out.
func (e *DeviceAuthorization) CheckConfig(config *server.Config) error {
	var faults []error
	if e.Storage == nil {
		faults = append(faults, errors.New("endpoint: DeviceAuthorization.Storage is missing: write gormoauth.CreateDeviceCodeStorage[DeviceCode](db)"))
	}
	if e.ExpiresIn < 0 || e.Interval < 0 {
		faults = append(faults, errors.New("endpoint: DeviceAuthorization.ExpiresIn and Interval must not be negative"))
	}
	if e.ExpiresIn == 0 {
		e.ExpiresIn = defaultDeviceCodeExpiresIn
	}
	if e.Interval == 0 {
		e.Interval = defaultPollInterval
	}
	if e.Attempts == nil {
		e.Attempts = ratelimit.New(userCodeAttempts, userCodeAttemptsPer)
	}
	if e.PublicRequests == nil {
		e.PublicRequests = newPublicRequests()
	}
	if e.VerificationURI == "" {
		e.VerificationURI = strings.TrimSuffix(config.Issuer, "/") + "/device"
	}
	if u, err := url.Parse(e.VerificationURI); err != nil || !u.IsAbs() || u.Fragment != "" {
		faults = append(faults, errors.New("endpoint: DeviceAuthorization.VerificationURI must be an absolute URL"))
	}
	return errors.Join(faults...)
}

// deviceAuthorizationResponse is that of RFC 8628 section 3.2.
type deviceAuthorizationResponse struct {
	DeviceCode              string `json:"device_code"`
	UserCode                string `json:"user_code"`
	VerificationURI         string `json:"verification_uri"`
	VerificationURIComplete string `json:"verification_uri_complete"`
	ExpiresIn               int64  `json:"expires_in"`
	Interval                int64  `json:"interval"`
}

// IsReplaySafe says that a replay does no harm: codes are stored once.
func (*DeviceAuthorization) IsReplaySafe() {}

// CreateResponse issues the codes.
func (e *DeviceAuthorization) CreateResponse(ctx context.Context, req *server.Request) (*server.Response, error) {
	if !req.Client.CheckGrantType(deviceCodeGrantType) {
		return nil, server.NewError(server.UnauthorizedClient, "The client may not use this 'grant_type'.")
	}
	if err := checkPublicRequest(ctx, req, e.PublicRequests); err != nil {
		return nil, err
	}
	if err := req.CheckAuthorization(ctx); err != nil {
		return nil, err
	}
	deviceCode, presented := req.Server.GenerateCode(server.DeviceCodeKind, rand.Text())
	userCode, err := e.save(ctx, req, presented)
	if err != nil {
		return nil, err
	}
	complete, err := url.Parse(e.VerificationURI)
	if err != nil {
		return nil, err
	}
	query := complete.Query()
	query.Set("user_code", userCode)
	complete.RawQuery = query.Encode()
	return &server.Response{Body: deviceAuthorizationResponse{
		DeviceCode: deviceCode, UserCode: userCode, VerificationURI: e.VerificationURI, VerificationURIComplete: complete.String(),
		ExpiresIn: int64(e.ExpiresIn / time.Second), Interval: int64(e.Interval / time.Second),
	}}, nil
}

// save stores the codes, with a user code that nobody else has.
func (e *DeviceAuthorization) save(ctx context.Context, req *server.Request, presented server.Presented) (userCode string, err error) {
	const attempts = 5 // each fails with a chance of a few in a billion
	for range attempts {
		userCode = newUserCode()
		record := &models.DeviceCodeMixin{
			DeviceCode:   presented.Digest,
			UserCode:     digestUserCode(userCode),
			IssuedAt:     req.Time.Unix(),
			ExpiresAt:    req.Time.Add(e.ExpiresIn).Unix(),
			PollInterval: int64(e.Interval / time.Second),
		}
		record.SetAuthorization(req.NewAuthorization(presented.GrantID))
		record.SetGranted(req.Granted)
		err = req.StoreOutcome(ctx, func(ctx context.Context) error { return e.Storage.SaveDeviceCode(ctx, record, req) })
		if !errors.Is(err, server.ErrTaken) {
			break
		}
	}
	if err != nil {
		return "", fmt.Errorf("save device code: %w", err)
	}
	return userCode, nil
}

// The letters of a user code: no vowels, so that it spells nothing, and none
// that looks or sounds like another (RFC 8628 section 6.1). Eight of them are
// 34 bits.
const (
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
)

// newUserCode returns a user code as it is shown: WDJB-MJHT.
func newUserCode() string {
	const fair = 256 - 256%len(userCodeLetters) // bytes from here on would favour some letters
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

// digestUserCode is what a user code is stored as, however a person types it:
// in small letters, with the hyphen elsewhere or without it. It is empty for
// what can be no user code.
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
	return server.Digest(letters)
}

// GetConsentGrant returns what a device asks for, for the page that asks the
// user for consent: the request's user_code names it. The page shows the code,
// so that the user can compare it with the one on the device (RFC 8628 section
// 5.4), also when it came by verification_uri_complete. user is who signed in,
// and must not be nil.
//
// For a code that is unknown, used or expired the error is an invalid_grant, for
// one user code too many a temporarily_unavailable: what to tell the user is
// srv.Describe(r, err).
func (e *DeviceAuthorization) GetConsentGrant(srv *server.Server, r *http.Request, user server.User) (consent *server.ConsentGrant, err error) {
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

// decisionOn is what the page gives back on which the user decides on a device.
func decisionOn(req *server.Request) server.Decision {
	return req.Decision(digestUserCode(req.Params.Get("user_code")))
}

// Decide stores the user's decision on the device that the request's user_code
// names. It has to come from the page: a POST with the consent grant's Decision.
// Otherwise the error is [server.ErrNoDecision]: show the page again. Others are those
// of [DeviceAuthorization.GetConsentGrant].
func (e *DeviceAuthorization) Decide(srv *server.Server, r *http.Request, user server.User, approved bool) error {
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

func (e *DeviceAuthorization) decide(req *server.Request, device server.DeviceCode, approved bool) error {
	userCode := digestUserCode(req.Params.Get("user_code"))
	decision := server.DeviceDecision{DeviceCode: device, User: req.User, Approved: approved, Authentication: req.Authentication, Time: req.Time}
	if approved {
		user, err := req.Server.QueryUser(req.Context(), req.User.GetUserID())
		if err != nil {
			return err
		}
		if user == nil {
			return server.NewError(server.AccessDenied, "The resource owner is gone or disabled.")
		}
		decision.UserGeneration = server.GenerationOf(user)
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

// pending finds what waits for the user's decision. It returns what it read of a
// request that it refuses.
func (e *DeviceAuthorization) pending(srv *server.Server, r *http.Request, user server.User) (req *server.Request, device server.DeviceCode, err error) {
	if e.Attempts == nil {
		return nil, nil, errors.New("endpoint: DeviceAuthorization is not registered")
	}
	if server.IsNilUser(user) {
		return nil, nil, server.NewError(server.AccessDenied, "Only a user who signed in may enter a code.")
	}
	if req, err = srv.ParseRequest(r, devicePage); err != nil {
		return req, nil, err
	}
	req.SetUser(user)
	ctx := req.Context()
	wait, err := e.Attempts.Allow(ctx, user.GetUserID())
	if err != nil {
		return req, nil, fmt.Errorf("limit the user codes: %w", err)
	}
	if wait > 0 {
		return req, nil, server.TooManyRequests(wait, "These were many codes. Please try again later.")
	}
	userCode := digestUserCode(req.Params.Get("user_code"))
	if userCode == "" {
		return req, nil, errNoSuchUserCode().Because("the user code is malformed")
	}
	stored, err := e.Storage.QueryDeviceCode(ctx, server.DeviceCodeQuery{UserCode: userCode})
	if err != nil {
		return req, nil, fmt.Errorf("query device code: %w", err)
	}
	switch {
	case stored == nil:
		return req, nil, errNoSuchUserCode().Because("the user code is unknown")
	case !srv.Issued(stored.DeviceCode.GetAuthorization()):
		return req, nil, errNoSuchUserCode().BecauseOf(server.NotIssued(stored.DeviceCode.GetAuthorization()))
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
		return req, nil, errNoSuchUserCode().BecauseOf(req.WhyNoClient(server.NewReason("the client of the user code is gone", slog.String("client_id", stored.DeviceCode.GetClientID()))))
	}
	req.Client, req.Granted = client, stored.DeviceCode.GetGranted()
	return req, stored.DeviceCode, nil
}

func errNoSuchUserCode() *server.Error {
	return server.NewError(server.InvalidGrant, "The code is unknown, was used or has expired.")
}
