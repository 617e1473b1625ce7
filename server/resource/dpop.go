package resource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gormoauth/gormoauth/internal/loopback"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/cnf"
	"github.com/gormoauth/gormoauth/server/dpop"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/storage"
)

// DPoPTokenValidator validates tokens that are bound to a key of the client (RFC 9449
// section 7), with the proof in each request. Register it beside a validator of bearer
// tokens, or alone to require bound tokens.
type DPoPTokenValidator struct {
	// Tokens finds the tokens. It is a [BearerTokenValidator] or a
	// [JWTAccessTokenValidator].
	Tokens TokenValidator
	// Proofs verifies the proofs.
	Proofs dpop.Proofs
	// BaseURL is the part of the API's URL before the path of a request, such as
	// "https://api.example.com". A proof is made for a URL, which must not depend on a
	// header of the request.
	BaseURL string
}

// TokenType returns "DPoP".
func (*DPoPTokenValidator) TokenType() string { return "DPoP" }

// CheckConfig returns an error for each missing or invalid field.
func (v *DPoPTokenValidator) CheckConfig() error {
	var faults []error
	if v.Tokens == nil {
		faults = append(faults, errors.New("resource: DPoPTokenValidator.Tokens is missing: write gormoauth.CreateBearerTokenValidator[Token](db)"))
	} else {
		faults = append(faults, checkValidator(v.Tokens))
	}
	u, err := url.Parse(v.BaseURL)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback.Is(u.Hostname())) {
		faults = append(faults, fmt.Errorf("resource: DPoPTokenValidator.BaseURL: %q is not the https URL of the API", v.BaseURL))
	}
	return errors.Join(append(faults, v.Proofs.CheckSettings())...)
}

// WithProfile returns the validator restricted to a profile, or an error for settings that
// the profile forbids.
func (v *DPoPTokenValidator) WithProfile(profile server.Profile) (TokenValidator, error) {
	tokens, err := withProfile(v.Tokens, profile)
	err = errors.Join(err, jwk.CheckAlgorithms(profile, "resource: DPoPTokenValidator.Proofs.Algorithms", v.Proofs.Algorithms...))
	return &DPoPTokenValidator{Tokens: tokens, Proofs: *v.Proofs.For(profile), BaseURL: v.BaseURL}, err
}

// ChallengeParameters returns "algs", the supported algorithms (RFC 9449 section 7.1).
func (v *DPoPTokenValidator) ChallengeParameters() map[string]string {
	return map[string]string{"algs": strings.Join(v.Proofs.AlgorithmNames(), " ")}
}

// AuthenticateToken finds the token, or returns nil if there is none.
func (v *DPoPTokenValidator) AuthenticateToken(ctx context.Context, text string) (*storage.StoredToken, error) {
	return v.Tokens.AuthenticateToken(ctx, text)
}

// ValidateToken refuses a token for the same reasons as any other, and a token whose key
// did not sign the request's proof. The proof is checked last, so that only a caller with a
// token can cause it to be stored.
func (v *DPoPTokenValidator) ValidateToken(token *storage.StoredToken, scopes []string, r *http.Request, now time.Time) error {
	if err := validate(token, v.TokenType(), scopes, now); err != nil {
		return err
	}
	path := r.URL.EscapedPath()
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil { // before any handler stripped a prefix
		path = u.EscapedPath()
	}
	_, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	thumbprint, err := v.Proofs.Check(r, strings.TrimSuffix(v.BaseURL, "/")+path, strings.TrimSpace(text), now)
	var failure *server.Error
	if errors.As(err, &failure) {
		failure.Status = http.StatusUnauthorized
	}
	if err != nil {
		return err
	}
	if cnf.New(cnf.JWKThumbprint, thumbprint) != token.Token.GetConfirmation() {
		return server.NewError(server.InvalidToken, "The access token is bound to a different key than that of the DPoP proof.")
	}
	return nil
}
