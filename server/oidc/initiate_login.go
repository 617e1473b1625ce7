package oidc

import (
	"fmt"

	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/server"
)

const initiateLoginURI = "initiate_login_uri"

// InitiateLogin is a login that begins at the program, such as at a page with all of
// a user's applications (OpenID Connect Core section 4).
type InitiateLogin struct {
	// LoginHint says who is to sign in, in whatever words the client gives back as
	// login_hint.
	LoginHint string
	// TargetLinkURI is where in the client the user wants to go.
	TargetLinkURI string
}

// InitiateLoginURL returns the address to which the user's browser goes. A client
// that registered no initiate_login_uri, or one that no client may have, has none, which is an
// error.
func (p *Provider) InitiateLoginURL(client server.Client, login InitiateLogin) (string, error) {
	if p.server == nil {
		return "", ErrNotRegistered
	}
	text := textMember(metadataOf(client), initiateLoginURI)
	if text == "" {
		return "", fmt.Errorf("oidc: the client %q has no %s", client.GetClientID(), initiateLoginURI)
	}
	u, err := weburi.ParseAddress(text)
	if err != nil {
		return "", fmt.Errorf("oidc: the %s of the client %q %w", initiateLoginURI, client.GetClientID(), err)
	}
	query := u.Query()
	query.Set("iss", p.server.Issuer())
	for name, value := range map[string]string{"login_hint": login.LoginHint, "target_link_uri": login.TargetLinkURI} {
		if value != "" {
			query.Set(name, value)
		}
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}
