package oidc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"slices"

	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

const (
	subjectTypeMember = "subject_type"
	sectorMember      = "sector_identifier_uri"
	pairwise          = "pairwise"
	public            = "public"
)

// ClientSubject returns the pairwise subject of a user at a client that registered
// for one (OpenID Connect Core section 8.1): the same at all clients of a sector,
// and nothing to anybody else.
func (p *Provider) ClientSubject(client server.Client, userID string) string {
	metadata := metadataOf(client)
	if metadata == nil || textMember(metadata, subjectTypeMember) != pairwise || p.PairwiseSalt == nil {
		return ""
	}
	sector, ok := sectorOf(metadata)
	if !ok || !needsRedirectURI(metadata) { // nobody shares it
		sector = "client " + client.GetClientID()
	}
	mac := hmac.New(sha256.New, p.PairwiseSalt)
	mac.Write([]byte(sector + "\x00" + userID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// needsRedirectURI reports whether a client gets a user's tokens at its redirect URIs
// alone. Any other could name another's, and learn whom that one knows.
func needsRedirectURI(metadata *models.ClientMetadata) bool {
	atRedirectURI := []string{"authorization_code", "refresh_token", implicitGrantType, "client_credentials"}
	return !slices.ContainsFunc(metadata.GrantTypes, func(grantType string) bool { return !slices.Contains(atRedirectURI, grantType) })
}

// sectorOf returns the host of the sector identifier, or that of all redirect URIs.
func sectorOf(metadata *models.ClientMetadata) (sector string, ok bool) {
	if uri := textMember(metadata, sectorMember); uri != "" {
		return hostOf(uri), hostOf(uri) != ""
	}
	hosts := make([]string, len(metadata.RedirectURIs))
	for i, uri := range metadata.RedirectURIs {
		hosts[i] = hostOf(uri)
	}
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	if len(hosts) != 1 || hosts[0] == "" {
		return "", false
	}
	return hosts[0], true
}

func hostOf(uri string) string {
	u, err := weburi.Parse(uri)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// metadataOf returns what a client registered, nil when it does not tell.
func metadataOf(client server.Client) *models.ClientMetadata {
	registered, ok := client.(server.RegisteredClient)
	if !ok {
		return nil
	}
	return &registered.AsClientMixin().ClientMetadata
}

// textMember returns a member of a client's metadata that is text, empty for any
// other.
func textMember(metadata *models.ClientMetadata, name string) (text string) {
	if metadata != nil {
		_ = strictjson.Unmarshal(metadata.Extra[name], &text) // what is no text says nothing
	}
	return text
}

// listMember is textMember for one that is a list of texts.
func listMember(metadata *models.ClientMetadata, name string) (list []string) {
	if metadata != nil {
		_ = strictjson.Unmarshal(metadata.Extra[name], &list)
	}
	return list
}
