package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

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

// PairwiseSaltStorage is for [server.SigningKeys] that keep the salt of pairwise subjects.
type PairwiseSaltStorage interface {
	// PairwiseSalt returns the salt: at least 32 random bytes that are made once.
	PairwiseSalt(ctx context.Context, now time.Time) ([]byte, error)
}

// keptSalt is the salt that storage keeps, once it was needed.
type keptSalt struct{ atomic.Pointer[[]byte] }

// servesPairwise reports whether clients may register for pairwise subjects.
func (p *Provider) servesPairwise() bool { return p.PairwiseSalt != nil || p.PairwiseSubjects }

// LookUpClient sees to it that the salt is known before anybody asks for a subject of a
// pairwise client: without it, what the client is told would be another subject.
func (p *Provider) LookUpClient(ctx context.Context, _ *server.Server, _ string, found server.Client) (server.Client, error) {
	if !isPairwise(found) {
		return found, nil
	}
	if err := p.loadSalt(ctx); err != nil {
		return nil, err
	}
	return found, nil
}

// loadSalt asks storage for the salt, where it was not asked before.
func (p *Provider) loadSalt(ctx context.Context) error {
	if !p.PairwiseSubjects || p.PairwiseSalt != nil || p.salt.Load() != nil {
		return nil
	}
	salt, err := p.Keys.(PairwiseSaltStorage).PairwiseSalt(ctx, p.server.Now()) // CheckConfig has looked
	if err != nil {
		return fmt.Errorf("find the salt of pairwise subjects: %w", err)
	}
	p.salt.Store(&salt)
	return nil
}

// pairwiseSalt returns the salt. A client that was looked up has had it loaded; who has one
// of elsewhere waits here, and is told nothing rather than another subject.
func (p *Provider) pairwiseSalt() []byte {
	if p.PairwiseSalt != nil {
		return p.PairwiseSalt
	}
	if p.salt.Load() == nil {
		ctx, cancel := context.WithTimeout(context.Background(), saltTakes)
		defer cancel()
		if err := p.loadSalt(ctx); err != nil {
			panic(fmt.Errorf("oidc: %w", err))
		}
	}
	return *p.salt.Load()
}

const saltTakes = 5 * time.Second

func isPairwise(client server.Client) bool {
	return textMember(metadataOf(client), subjectTypeMember) == pairwise
}

// ClientSubject returns the pairwise subject of a user at a client that registered
// for one (OpenID Connect Core section 8.1): the same at all clients of a sector,
// and nothing to anybody else.
func (p *Provider) ClientSubject(client server.Client, userID string) string {
	metadata := metadataOf(client)
	if !isPairwise(client) || !p.servesPairwise() {
		return ""
	}
	sector, ok := sectorOf(metadata)
	if !ok || !needsRedirectURI(metadata) { // nobody shares it
		sector = "client " + client.GetClientID()
	}
	mac := hmac.New(sha256.New, p.pairwiseSalt())
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
