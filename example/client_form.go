package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
)

// clientForm is the form that creates a client, as it was typed.
type clientForm struct {
	ClientName   string
	RedirectURIs string
	Type         string
	Scopes       []string
	Faults       []string
}

// HasScope reports whether a scope is ticked.
func (f clientForm) HasScope(name string) bool { return slices.Contains(f.Scopes, name) }

// The types of clients to choose from.
const (
	typeWeb     = "web"
	typePublic  = "public"
	typeService = "service"
)

const (
	maxRedirectURIs = 10
	maxRedirectURI  = 2000 // bytes
)

func newClientForm() clientForm {
	return clientForm{Type: typeWeb, Scopes: []string{"openid", "profile"}}
}

func readClientForm(form url.Values) clientForm {
	return clientForm{
		ClientName:   strings.TrimSpace(form.Get("client_name")),
		RedirectURIs: form.Get("redirect_uris"),
		Type:         form.Get("type"),
		Scopes:       form["scope"],
	}
}

// metadata returns the client metadata that the form describes.
func (f clientForm) metadata() models.ClientMetadata {
	m := models.ClientMetadata{
		ClientName:              f.ClientName,
		RedirectURIs:            strings.Fields(f.RedirectURIs),
		Scope:                   strings.Join(f.Scopes, " "),
		TokenEndpointAuthMethod: models.ClientSecretBasic,
		GrantTypes:              []string{"authorization_code", "refresh_token"},
		ResponseTypes:           []string{"code"},
	}
	switch f.Type {
	case typePublic:
		m.TokenEndpointAuthMethod = models.None
	case typeService:
		m.GrantTypes, m.ResponseTypes = []string{"client_credentials"}, nil
	}
	return m
}

// inTheForm maps members of client metadata to the labels of the form.
var inTheForm = strings.NewReplacer("redirect_uris:", "The redirect URI", "client_name:", "The name")

// check returns what is wrong with the form, in sentences for the person who filled it in.
// Rules that hold for every client are checked by the server.
func (f clientForm) check(ctx context.Context, srv *server.Server) ([]string, error) {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }

	if f.ClientName == "" {
		fault("Give the application a name.")
	}
	if !slices.Contains([]string{typeWeb, typePublic, typeService}, f.Type) {
		fault("Choose what kind of application it is.")
	}
	for _, name := range f.Scopes {
		if !slices.Contains(scopeNames(), name) {
			fault("There is no such permission as one of those chosen.")
			break
		}
	}
	m := f.metadata()
	switch tooLong := func(uri string) bool { return len(uri) > maxRedirectURI }; {
	case f.Type == typeService && len(m.RedirectURIs) > 0:
		fault("A service has no redirect URIs: leave that field empty.")
	case len(m.RedirectURIs) > maxRedirectURIs:
		fault("There can be %d redirect URIs at most.", maxRedirectURIs)
	case slices.ContainsFunc(m.RedirectURIs, tooLong):
		fault("A redirect URI can have %d characters at most.", maxRedirectURI)
	case len(m.ResponseTypes) > 0 && len(m.RedirectURIs) == 0:
		fault("Give at least one redirect URI: where people return to after signing in.")
	default:
		_, err := srv.CheckClient(ctx, server.ClientCheck{Source: models.ClientByHand, Metadata: m})
		var invalid *clientmeta.Error
		if err != nil && !errors.As(err, &invalid) {
			return nil, err
		}
		if invalid != nil {
			for line := range strings.Lines(invalid.Error()) {
				fault("%s.", inTheForm.Replace(strings.TrimSpace(line)))
			}
		}
	}
	return faults, nil
}
