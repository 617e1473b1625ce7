package oidc

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/internal/loopback"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/fetch"
)

// Members of OpenID Connect Dynamic Client Registration section 2 and of the logout
// specifications, by type.
var (
	textMembers = [...]string{
		"application_type", subjectTypeMember, sectorMember, initiateLoginURI, backChannelLogoutURI, frontChannelLogoutURI,
		"id_token_signed_response_alg", "id_token_encrypted_response_alg", "id_token_encrypted_response_enc",
		"userinfo_signed_response_alg", "userinfo_encrypted_response_alg", "userinfo_encrypted_response_enc",
	}
	listMembers   = [...]string{"default_acr_values", postLogoutRedirectURIs}
	boolMembers   = [...]string{"require_auth_time", "backchannel_logout_session_required", "frontchannel_logout_session_required"}
	numberMembers = [...]string{"default_max_age"}
)

// ClientMetadataMembers returns the members that OpenID Connect adds.
func (*Provider) ClientMetadataMembers() []string {
	return slices.Concat(textMembers[:], listMembers[:], boolMembers[:], numberMembers[:])
}

// invalid returns an error about a member of a client's metadata.
func invalid(metadata *models.ClientMetadata, member, problem string) error {
	value := textMember(metadata, member)
	if value == "" {
		value = string(metadata.Extra[member])
	}
	return clientmeta.Invalid(member, value, problem)
}

// CheckClientMetadata refuses metadata that the client could not comply with, or that the
// server does not support.
func (p *Provider) CheckClientMetadata(ctx context.Context, _ *server.Request, metadata *models.ClientMetadata) error {
	if err := checkTypes(metadata); err != nil {
		return err
	}
	for _, check := range []func(*models.ClientMetadata) error{
		checkApplicationType, p.answer("id_token").CheckClientMetadata, p.answer("userinfo").CheckClientMetadata, p.checkLogout,
	} {
		if err := check(metadata); err != nil {
			return err
		}
	}
	return p.checkSubjectType(ctx, metadata)
}

func checkTypes(metadata *models.ClientMetadata) error {
	for _, group := range []struct {
		members []string
		into    func() any
		problem string
	}{
		{textMembers[:], func() any { return new(string) }, "must be a string"},
		{listMembers[:], func() any { return new([]string) }, "must be a list of strings"},
		{boolMembers[:], func() any { return new(bool) }, "must be true or false"},
		{numberMembers[:], func() any { return new(uint32) }, "must be a whole number of seconds, 0 or more, without quotes"},
	} {
		for _, member := range group.members {
			if raw, ok := metadata.Extra[member]; ok && strictjson.Unmarshal(raw, group.into()) != nil {
				return invalid(metadata, member, group.problem)
			}
		}
	}
	return nil
}

// checkApplicationType checks that the redirect URIs suit the application type: with the
// implicit grant, tokens go only to a web application's own host.
func checkApplicationType(metadata *models.ClientMetadata) error {
	kind := textMember(metadata, "application_type")
	if kind != "" && kind != "web" && kind != "native" {
		return invalid(metadata, "application_type", "is not an application type; choose web or native")
	}
	implicit := slices.Contains(metadata.GrantTypes, implicitGrantType)
	for _, uri := range metadata.RedirectURIs {
		u, err := weburi.Parse(uri)
		switch {
		case err != nil:
			return clientmeta.Invalid("redirect_uris", uri, err.Error())
		case kind == "native" && u.Scheme == "https" && loopback.Is(u.Hostname()),
			kind == "native" && u.Scheme == "http" && !loopback.Is(u.Hostname()):
			return clientmeta.Invalid("redirect_uris", uri, "is not allowed for the application_type native; use http on a loopback address, a private-use scheme, or https on a host of its own")
		case kind != "native" && implicit && (u.Scheme != "https" || loopback.Is(u.Hostname())):
			return clientmeta.Invalid("redirect_uris", uri, "is not allowed for the application_type web with the implicit grant; use https on a host other than localhost, or leave out the implicit grant")
		case kind == "web" && u.Scheme != "https" && u.Scheme != "http":
			return clientmeta.Invalid("redirect_uris", uri, "is not allowed for the application_type web; use https, or register the application_type native")
		}
	}
	return nil
}

// checkLogout refuses logout URIs that are not at the client's own origin, or that the
// server would never call.
func (p *Provider) checkLogout(metadata *models.ClientMetadata) error {
	if textMember(metadata, backChannelLogoutURI) != "" && p.Logouts == nil {
		return invalid(metadata, backChannelLogoutURI, "is not supported: this server has no back-channel logout; leave it out")
	}
	uri := textMember(metadata, frontChannelLogoutURI)
	if uri != "" && !slices.ContainsFunc(metadata.RedirectURIs, func(redirect string) bool { return sameOrigin(uri, redirect) }) {
		return invalid(metadata, frontChannelLogoutURI, "is not at the scheme, host and port of a redirect URI; use those of one of them") // Front-Channel Logout 1.0 section 2
	}
	return nil
}

func sameOrigin(a, b string) bool {
	u, errA := weburi.Parse(a)
	v, errB := weburi.Parse(b)
	return errA == nil && errB == nil && u.Scheme == v.Scheme && strings.EqualFold(u.Host, v.Host)
}

// checkSubjectType checks that a pairwise client has one sector, whose document lists all
// of its redirect URIs (OpenID Connect Dynamic Client Registration section 5).
func (p *Provider) checkSubjectType(ctx context.Context, metadata *models.ClientMetadata) error {
	kind, sector := textMember(metadata, subjectTypeMember), textMember(metadata, sectorMember)
	known := []string{public}
	if p.servesPairwise() {
		known = append(known, pairwise)
		if kind == pairwise {
			if err := p.loadSalt(ctx); err != nil {
				return err
			}
		}
	}
	switch {
	case kind != "" && !slices.Contains(known, kind):
		return invalid(metadata, subjectTypeMember, "is not a supported subject type; choose "+strings.Join(known, " or "))
	case kind == pairwise && !needsRedirectURI(metadata):
		return invalid(metadata, subjectTypeMember, "requires that all grant types use a redirect URI; choose public, or leave out the other grant types")
	case sector != "":
		return p.checkSector(ctx, metadata, sector)
	case kind == pairwise:
		if _, ok := sectorOf(metadata); !ok {
			return invalid(metadata, sectorMember, "is required, since the redirect URIs have no single host; register the URL of a list of them")
		}
	}
	return nil
}

func (p *Provider) checkSector(ctx context.Context, metadata *models.ClientMetadata, address string) error {
	if p.Fetcher == nil {
		return invalid(metadata, sectorMember, "is not supported by this server; leave it out, and register redirect URIs of one host")
	}
	document, err := p.Fetcher.Fetch(ctx, address, fetch.Request{Anew: true}) // a cached document could list a redirect URI that was just removed
	var listed []string
	switch {
	case errors.Is(err, fetch.ErrRefused):
		return invalid(metadata, sectorMember, "could not be fetched; serve it over https from the public network, without a redirect")
	case err != nil:
		return err
	case !document.IsJSON():
		return invalid(metadata, sectorMember, "is not served as JSON; serve it as application/json")
	case strictjson.Unmarshal(document.Body, &listed) != nil:
		return invalid(metadata, sectorMember, "does not serve a list of strings; serve a JSON array of the redirect URIs")
	}
	if slices.ContainsFunc(metadata.RedirectURIs, func(uri string) bool { return !slices.Contains(listed, uri) }) {
		return invalid(metadata, sectorMember, "does not list every redirect URI of the client; add the missing ones to its list")
	}
	return nil
}
