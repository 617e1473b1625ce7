package oidc

import (
	"fmt"

	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/server/storage"
)

const initiateLoginURI = "initiate_login_uri"

// InitiateLogin is a login that starts at the provider, such as from a page with all of a
// user's applications (OpenID Connect Core section 4).
type InitiateLogin struct {
	// LoginHint is a hint about who is to sign in. The client sends it back as login_hint.
	LoginHint string
	// TargetLinkURI is the page of the client to which the user wants to go.
	TargetLinkURI string
}

// InitiateLoginURL returns the URL to which to redirect the user's browser. It returns an
// error if the client has no initiate_login_uri, or one that is not valid.
func (p *Provider) InitiateLoginURL(client storage.Client, login InitiateLogin) (string, error) {
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
