package grant

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/device"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// DeviceCode is the device authorization grant (RFC 8628 section 3.4): the device polls
// until the user has decided. It gets its code from endpoint.DeviceAuthorization.
type DeviceCode struct {
	// Storage stores the codes.
	Storage device.Storage
}

// pollSlower is how much slow_down increases the polling interval (RFC 8628 section 3.5).
const pollSlower = 5 * time.Second

// GrantType returns "urn:ietf:params:oauth:grant-type:device_code".
func (*DeviceCode) GrantType() string { return "urn:ietf:params:oauth:grant-type:device_code" }

// CheckConfig returns an error for each missing field.
func (g *DeviceCode) CheckConfig(config *server.Config) error {
	var fault error
	if g.Storage == nil {
		fault = errors.New("grant: DeviceCode.Storage is missing: write gormoauth.CreateDeviceCodeStorage[DeviceCode](db)")
	}
	return errors.Join(fault, needsRevokeGrant("DeviceCode", config))
}

// Diagnose checks that the look-up of a device code that does not exist finds none.
func (g *DeviceCode) Diagnose(ctx context.Context, _ *server.Server) finding.List {
	return finding.LookUp("grant.DeviceCode.Storage", func() (bool, error) {
		code, err := g.Storage.QueryDeviceCode(ctx, device.Query{DeviceCode: secret.Digest(rand.Text())})
		return code != nil, err
	})
}

// PrepareIssuance finds the code. Until the user has decided, the device is told to poll
// again.
func (g *DeviceCode) PrepareIssuance(ctx context.Context, req *server.Request) (*server.Issuance, error) {
	code := req.Params.Get("device_code")
	if code == "" {
		return nil, server.NewError(server.InvalidRequest, "The request has no 'device_code'.")
	}
	if secret.Malformed(code, secret.DeviceCode) {
		return nil, errNoSuchDeviceCode().Because("the device code is malformed, or a different kind of secret")
	}
	presented := secret.Present(code)
	stored, err := g.Storage.QueryDeviceCode(ctx, device.Query{DeviceCode: presented.Digest})
	if err != nil {
		return nil, fmt.Errorf("query device code: %w", err)
	}
	// Only the client that requested the code learns what became of it.
	switch {
	case stored == nil:
		return nil, errNoSuchDeviceCode().Because("the device code is unknown")
	case !req.Server.Issued(stored.DeviceCode.GetAuthorization()):
		return nil, errNoSuchDeviceCode().BecauseOf(storage.NotIssued(stored.DeviceCode.GetAuthorization()))
	case !stored.DeviceCode.CheckClient(req.Client.GetClientID()):
		return nil, errNoSuchDeviceCode().Because("the device code was issued to another client")
	}
	record := stored.DeviceCode
	switch {
	case record.IsRedeemed(): // the gate says so, and revokes the grant
	case record.IsDenied():
		return nil, server.NewError(server.AccessDenied, "The resource owner denied the request.")
	case record.IsExpired(req.Time):
		return nil, server.NewError(server.ExpiredToken, "The 'device_code' has expired.")
	case !record.IsApproved():
		return nil, g.wait(ctx, req, presented.Digest)
	}
	granted := record.GetGranted()
	return &server.Issuance{
		Credential: &server.Credential{
			Presented:     presented,
			Record:        record,
			UserID:        stored.UserID,
			Granted:       granted,
			Authorization: record.GetAuthorization(),
			Spent:         record.IsRedeemed(),
		},
		Scope:        granted.Scope,
		RefreshToken: true,
	}, nil
}

// wait returns the error for a device whose user has not decided yet.
func (g *DeviceCode) wait(ctx context.Context, req *server.Request, deviceCode string) error {
	tooSoon, err := g.Storage.PollDeviceCode(ctx, deviceCode, req.Time, pollSlower)
	switch {
	case err != nil:
		return fmt.Errorf("poll device code: %w", err)
	case tooSoon:
		return server.NewError(server.SlowDown, "The device polls too often. It must wait five seconds longer between requests from now on.")
	default:
		return server.NewError(server.AuthorizationPending, "The user has not decided yet.")
	}
}

func errNoSuchDeviceCode() *server.Error {
	return server.NewError(server.InvalidGrant, "The 'device_code' was not issued to this client by this server.")
}
