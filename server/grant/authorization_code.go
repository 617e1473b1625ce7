package grant

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// AuthorizationCode is the authorization code grant (RFC 6749 section 4.1), with PKCE
// according to server.Config.PKCE. It brings the extension [CodeChallenge] with it.
type AuthorizationCode struct {
	// SaveAuthorizationCode stores a code.
	SaveAuthorizationCode SaveAuthorizationCodeFunc
	// QueryAuthorizationCode finds a code.
	QueryAuthorizationCode QueryAuthorizationCodeFunc
	// ExpiresIn is how long a code can be redeemed. 0 means five minutes; RFC 6749 section
	// 4.1.2 recommends at most ten.
	ExpiresIn time.Duration
}

const defaultCodeExpiresIn = 5 * time.Minute

// GrantType returns "authorization_code".
func (*AuthorizationCode) GrantType() string { return "authorization_code" }

// ResponseTypes returns "code".
func (*AuthorizationCode) ResponseTypes() []string { return []string{"code"} }

// ResponseMode returns "query".
func (*AuthorizationCode) ResponseMode() string { return "query" }

// DefaultExtensions returns PKCE.
func (*AuthorizationCode) DefaultExtensions() []any { return []any{CodeChallenge{}} }

// CheckConfig returns an error for each missing or invalid field.
func (g *AuthorizationCode) CheckConfig(config *server.Config) error {
	var faults []error
	if g.SaveAuthorizationCode == nil {
		faults = append(faults, errors.New("grant: AuthorizationCode.SaveAuthorizationCode is missing: write gormoauth.CreateSaveAuthorizationCodeFunc[AuthorizationCode](db)"))
	}
	if g.QueryAuthorizationCode == nil {
		faults = append(faults, errors.New("grant: AuthorizationCode.QueryAuthorizationCode is missing: write gormoauth.CreateQueryAuthorizationCodeFunc[AuthorizationCode](db)"))
	}
	if g.ExpiresIn < 0 {
		faults = append(faults, errors.New("grant: AuthorizationCode.ExpiresIn must not be negative"))
	}
	return errors.Join(append(faults, needsRevokeGrant("AuthorizationCode", config))...)
}

// Diagnose checks that the look-up of a code that does not exist finds none.
func (g *AuthorizationCode) Diagnose(ctx context.Context, _ *server.Server) finding.List {
	return finding.LookUp("grant.AuthorizationCode.QueryAuthorizationCode", func() (bool, error) {
		code, err := g.QueryAuthorizationCode(ctx, secret.Digest(rand.Text()))
		return code != nil, err
	})
}

// Authorize issues a code for what the user granted.
func (g *AuthorizationCode) Authorize(ctx context.Context, req *server.Request) (map[string][]string, error) {
	code, presented := req.Server.GenerateCode(secret.AuthorizationCode, rand.Text())
	record := &models.AuthorizationCodeMixin{
		Code:         presented.Digest,
		RedirectURI:  req.Params.Get("redirect_uri"),
		ResponseType: req.ResponseType,
		IssuedAt:     req.Time.Unix(),
		ExpiresAt:    req.Time.Add(g.expiresIn()).Unix(),
	}
	record.SetAuthorization(req.NewAuthorization(presented.GrantID))
	record.SetGranted(req.Granted)
	if err := req.PrepareAuthorizationCode(ctx, record); err != nil {
		return nil, err
	}
	if err := req.StoreOutcome(ctx, func(ctx context.Context) error { return g.SaveAuthorizationCode(ctx, record, req) }); err != nil {
		return nil, err
	}
	return map[string][]string{"code": {code}}, nil
}

// PrepareIssuance finds the code (RFC 6749 section 4.1.3).
func (g *AuthorizationCode) PrepareIssuance(ctx context.Context, req *server.Request) (*server.Issuance, error) {
	code := req.Params.Get("code")
	if code == "" {
		return nil, server.NewError(server.InvalidRequest, "The request has no 'code'.")
	}
	if secret.Malformed(code, secret.AuthorizationCode) {
		return nil, errNoSuchCode().Because("the code is malformed, or a different kind of secret")
	}
	presented := secret.Present(code)
	stored, err := g.QueryAuthorizationCode(ctx, presented.Digest)
	if err != nil {
		return nil, err
	}
	if stored == nil || stored.UserID == "" {
		return nil, errNoSuchCode().Because("the code is unknown")
	}
	record := stored.AuthorizationCode
	redirectURI, granted := record.GetRedirectURI(), record.GetGranted()
	return &server.Issuance{
		Credential: &server.Credential{
			Presented:     presented,
			Record:        record,
			UserID:        stored.UserID,
			Granted:       granted,
			Authorization: record.GetAuthorization(),
			RedirectURI:   &redirectURI,
			Spent:         record.IsRedeemed(),
			Expired:       record.IsExpired(req.Time),
		},
		Scope:        granted.Scope,
		RefreshToken: true,
	}, nil
}

func errNoSuchCode() *server.Error {
	return server.NewError(server.InvalidGrant, "The 'code' was not issued by this server.")
}

func (g *AuthorizationCode) expiresIn() time.Duration {
	if g.ExpiresIn == 0 {
		return defaultCodeExpiresIn
	}
	return g.ExpiresIn
}

func needsRevokeGrant(name string, config *server.Config) error {
	if config.RevokeGrant != nil {
		return nil
	}
	return errors.New("grant: " + name + " needs server.Config.RevokeGrant: write gormoauth.CreateRevokeGrantFunc[Token](db)")
}

// StoredAuthorizationCode is a code as storage found it, with the id of its user.
type StoredAuthorizationCode struct {
	// AuthorizationCode is a pointer to the program's own model.
	AuthorizationCode storage.AuthorizationCode
	// UserID is the UserID column as text.
	UserID string
}

// SaveAuthorizationCodeFunc stores a code that the engine issued. The record contains only
// digests; req.User is the user who granted it.
type SaveAuthorizationCodeFunc func(ctx context.Context, record *models.AuthorizationCodeMixin, req *server.Request) error

// QueryAuthorizationCodeFunc looks up a code by its digest. It returns nil, nil if there is none.
type QueryAuthorizationCodeFunc func(ctx context.Context, code string) (*StoredAuthorizationCode, error)
