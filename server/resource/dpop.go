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
)

// DPoPTokenValidator validates tokens that are bound to a key of the client's
// (RFC 9449 section 7), with the proof that comes with each request. Register it
// beside the validator of bearer tokens, or alone where every token is to be
// bound.
type DPoPTokenValidator struct {
	// Tokens finds the tokens: a [BearerTokenValidator] or a
	// [JWTAccessTokenValidator].
	Tokens TokenValidator
	// Proofs checks the proofs.
	Proofs server.DPoPProofs
	// BaseURL is what clients write before the path of a request, such as
	// "https://api.example.com". A proof is made for an address, which no header
	// of the request may decide.
	BaseURL string
}

// TokenType returns "DPoP".
func (*DPoPTokenValidator) TokenType() string { return "DPoP" }

// CheckConfig names what is missing.
func (v *DPoPTokenValidator) CheckConfig() error {
	var faults []error
	if v.Tokens == nil {
		faults = append(faults, errors.New("resource: DPoPTokenValidator.Tokens is missing: write gormoauth.CreateBearerTokenValidator[Token](db)"))
	} else {
		faults = append(faults, checkValidator(v.Tokens))
	}
	u, err := url.Parse(v.BaseURL)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback.Is(u.Hostname())) {
		faults = append(faults, fmt.Errorf("resource: DPoPTokenValidator.BaseURL: %q is not the https address of the API", v.BaseURL))
	}
	return errors.Join(append(faults, v.Proofs.CheckSettings())...)
}

// WithProfile returns the validator with the proofs and the tokens of a profile.
func (v *DPoPTokenValidator) WithProfile(profile server.Profile) (TokenValidator, error) {
	tokens, err := withProfile(v.Tokens, profile)
	err = errors.Join(err, server.CheckAlgorithms(profile, "resource: DPoPTokenValidator.Proofs.Algorithms", v.Proofs.Algorithms...))
	return &DPoPTokenValidator{Tokens: tokens, Proofs: *v.Proofs.For(profile), BaseURL: v.BaseURL}, err
}

// ChallengeParameters names the algorithms (RFC 9449 section 7.1).
func (v *DPoPTokenValidator) ChallengeParameters() map[string]string {
	return map[string]string{"algs": strings.Join(v.Proofs.AlgorithmNames(), " ")}
}

// AuthenticateToken finds the token.
func (v *DPoPTokenValidator) AuthenticateToken(ctx context.Context, text string) (*server.StoredToken, error) {
	return v.Tokens.AuthenticateToken(ctx, text)
}

// ValidateToken refuses a token as any other is refused, and one whose key did
// not sign the request. The proof is looked at last: only who has a token can
// have it remembered.
func (v *DPoPTokenValidator) ValidateToken(token *server.StoredToken, scopes []string, r *http.Request, now time.Time) error {
	if err := validate(token, v.TokenType(), scopes, now); err != nil {
		return err
	}
	path := r.URL.EscapedPath()
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil { // before any handler took a prefix away
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
	if server.NewConfirmation(server.JWKThumbprint, thumbprint) != token.Token.GetConfirmation() {
		return server.NewError(server.InvalidToken, "The access token is bound to another key than that of the DPoP proof.")
	}
	return nil
}
