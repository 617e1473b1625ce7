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
	"github.com/gormoauth/gormoauth/server/fetch"
)

// Members of OpenID Connect Dynamic Client Registration section 2 and of the logout
// specifications, by what they hold.
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

// invalid is an error about a member of a client's metadata.
func invalid(member, problem string) error {
	return server.InvalidMember(member, "", problem)
}

// CheckClientMetadata refuses what a client could not keep to, or what nobody could
// give it.
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
		{textMembers[:], func() any { return new(string) }, "is not text"},
		{listMembers[:], func() any { return new([]string) }, "is not a list of texts"},
		{boolMembers[:], func() any { return new(bool) }, "is neither true nor false"},
		{numberMembers[:], func() any { return new(uint32) }, "is not a number of seconds"},
	} {
		for _, member := range group.members {
			if raw, ok := metadata.Extra[member]; ok && strictjson.Unmarshal(raw, group.into()) != nil {
				return invalid(member, group.problem)
			}
		}
	}
	return nil
}

// checkApplicationType holds redirect URIs to the kind of application: what comes
// through a browser goes to a web application's own host alone.
func checkApplicationType(metadata *models.ClientMetadata) error {
	kind := textMember(metadata, "application_type")
	if kind != "" && kind != "web" && kind != "native" {
		return invalid("application_type", "is neither web nor native")
	}
	implicit := slices.Contains(metadata.GrantTypes, implicitGrantType)
	for _, uri := range metadata.RedirectURIs {
		u, err := weburi.Parse(uri)
		switch {
		case err != nil:
			return invalid("redirect_uris", "has one that "+err.Error())
		case kind == "native" && u.Scheme == "https" && loopback.Is(u.Hostname()),
			kind == "native" && u.Scheme == "http" && !loopback.Is(u.Hostname()):
			return invalid("redirect_uris", "has one that no native application has")
		case kind != "native" && implicit && (u.Scheme != "https" || loopback.Is(u.Hostname())):
			return invalid("redirect_uris", "has one that no web application of the implicit grant has")
		case kind == "web" && u.Scheme != "https" && u.Scheme != "http":
			return invalid("redirect_uris", "has one that no web application has")
		}
	}
	return nil
}

// checkLogout refuses addresses of logout that are not this client's, or that nobody
// would call.
func (p *Provider) checkLogout(metadata *models.ClientMetadata) error {
	if textMember(metadata, backChannelLogoutURI) != "" && p.Logouts == nil {
		return invalid(backChannelLogoutURI, "is for a server that has back-channel logout")
	}
	uri := textMember(metadata, frontChannelLogoutURI)
	if uri != "" && !slices.ContainsFunc(metadata.RedirectURIs, func(redirect string) bool { return sameOrigin(uri, redirect) }) {
		return invalid(frontChannelLogoutURI, "is at another host than the redirect URIs") // Front-Channel Logout 1.0 section 2
	}
	return nil
}

func sameOrigin(a, b string) bool {
	u, errA := weburi.Parse(a)
	v, errB := weburi.Parse(b)
	return errA == nil && errB == nil && u.Scheme == v.Scheme && strings.EqualFold(u.Host, v.Host)
}

// checkSubjectType holds a pairwise client to one sector, to whose document its
// redirect URIs have to belong (OpenID Connect Dynamic Client Registration section 5).
func (p *Provider) checkSubjectType(ctx context.Context, metadata *models.ClientMetadata) error {
	kind, sector := textMember(metadata, subjectTypeMember), textMember(metadata, sectorMember)
	switch {
	case kind != "" && kind != public && kind != pairwise, kind == pairwise && p.PairwiseSalt == nil:
		return invalid(subjectTypeMember, "is none that the server has")
	case kind == pairwise && !needsRedirectURI(metadata):
		return invalid(subjectTypeMember, "pairwise is for clients whose users all come by a redirect URI")
	case sector != "":
		return p.checkSector(ctx, metadata, sector)
	case kind == pairwise:
		if _, ok := sectorOf(metadata); !ok {
			return invalid(sectorMember, "is missing: the redirect URIs have several hosts, or none")
		}
	}
	return nil
}

func (p *Provider) checkSector(ctx context.Context, metadata *models.ClientMetadata, address string) error {
	if p.Fetcher == nil {
		return invalid(sectorMember, "is for a server that fetches documents")
	}
	document, err := p.Fetcher.Fetch(ctx, address, fetch.Request{Anew: true}) // a redirect URI that was taken out a moment ago is out
	var listed []string
	switch {
	case errors.Is(err, fetch.ErrRefused), err == nil && strictjson.Unmarshal(document.Body, &listed) != nil:
		return invalid(sectorMember, "has no list of redirect URIs")
	case err != nil:
		return err
	}
	if slices.ContainsFunc(metadata.RedirectURIs, func(uri string) bool { return !slices.Contains(listed, uri) }) {
		return invalid(sectorMember, "does not list all redirect URIs")
	}
	return nil
}
