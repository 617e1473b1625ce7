package oidc

import (
	"fmt"
	"net/url"

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
// that registered no initiate_login_uri has none, which is an error.
func (p *Provider) InitiateLoginURL(client server.Client, login InitiateLogin) (string, error) {
	if p.server == nil {
		return "", ErrNotRegistered
	}
	u, err := url.Parse(textMember(metadataOf(client), initiateLoginURI))
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("oidc: the client %q has no %s", client.GetClientID(), initiateLoginURI)
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
