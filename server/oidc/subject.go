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
	"github.com/gormoauth/gormoauth/server/storage"
)

const (
	subjectTypeMember = "subject_type"
	sectorMember      = "sector_identifier_uri"
	pairwise          = "pairwise"
	public            = "public"
)

// PairwiseSaltStorage is implemented by [jwk.SigningKeys] that store the salt of
// pairwise subject identifiers.
type PairwiseSaltStorage interface {
	// PairwiseSalt returns the salt: at least 32 random bytes, which are made once.
	PairwiseSalt(ctx context.Context, now time.Time) ([]byte, error)
}

// keptSalt is the stored salt, once it has been loaded.
type keptSalt struct{ atomic.Pointer[[]byte] }

// servesPairwise reports whether clients may register for pairwise subjects.
func (p *Provider) servesPairwise() bool { return p.PairwiseSalt != nil || p.PairwiseSubjects }

// LookUpClient makes sure that the salt is loaded before a subject identifier for a
// pairwise client is needed: without the salt the client would get a different one.
func (p *Provider) LookUpClient(ctx context.Context, _ *server.Server, _ string, found storage.Client) (storage.Client, error) {
	if !isPairwise(found) {
		return found, nil
	}
	if err := p.loadSalt(ctx); err != nil {
		return nil, err
	}
	return found, nil
}

// loadSalt loads the salt from storage, unless it is already loaded.
func (p *Provider) loadSalt(ctx context.Context) error {
	if !p.PairwiseSubjects || p.PairwiseSalt != nil || p.salt.Load() != nil {
		return nil
	}
	salt, err := p.Keys.(PairwiseSaltStorage).PairwiseSalt(ctx, p.server.Now()) // CheckConfig has checked the type
	if err != nil {
		return fmt.Errorf("find the salt of pairwise subjects: %w", err)
	}
	p.salt.Store(&salt)
	return nil
}

// pairwiseSalt returns the salt. Looking up a client has loaded it; for a client from
// elsewhere it is loaded here. It panics if that fails, rather than return a wrong subject.
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

func isPairwise(client storage.Client) bool {
	return textMember(metadataOf(client), subjectTypeMember) == pairwise
}

// ClientSubject returns the pairwise subject identifier of a user for a client that
// registered for pairwise ones (OpenID Connect Core section 8.1): it is the same for all
// clients of a sector, and cannot be related to those of others. It returns "" for any
// other client.
func (p *Provider) ClientSubject(client storage.Client, userID string) string {
	metadata := metadataOf(client)
	if !isPairwise(client) || !p.servesPairwise() {
		return ""
	}
	sector, ok := sectorOf(metadata)
	if !ok || !needsRedirectURI(metadata) { // no other client shares the sector
		sector = "client " + client.GetClientID()
	}
	mac := hmac.New(sha256.New, p.pairwiseSalt())
	mac.Write([]byte(sector + "\x00" + userID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// needsRedirectURI reports whether a client gets users' tokens only at its redirect URIs.
// Any other client could claim another client's redirect URIs, and learn its subject
// identifiers.
func needsRedirectURI(metadata *models.ClientMetadata) bool {
	atRedirectURI := []string{"authorization_code", "refresh_token", implicitGrantType, "client_credentials"}
	return !slices.ContainsFunc(metadata.GrantTypes, func(grantType string) bool { return !slices.Contains(atRedirectURI, grantType) })
}

// sectorOf returns the host of the sector identifier URI, or the common host of all
// redirect URIs. ok is false if there is none.
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

// metadataOf returns the metadata of a client, or nil if the client has none.
func metadataOf(client storage.Client) *models.ClientMetadata {
	registered, ok := client.(storage.RegisteredClient)
	if !ok {
		return nil
	}
	return &registered.AsClientMixin().ClientMetadata
}

// textMember returns a string member of a client's metadata, or "" if it is absent or not a
// string.
func textMember(metadata *models.ClientMetadata, name string) (text string) {
	if metadata != nil {
		_ = strictjson.Unmarshal(metadata.Extra[name], &text) // a value that is not a string is ignored
	}
	return text
}

// listMember is textMember for a list of strings.
func listMember(metadata *models.ClientMetadata, name string) (list []string) {
	if metadata != nil {
		_ = strictjson.Unmarshal(metadata.Extra[name], &list)
	}
	return list
}
