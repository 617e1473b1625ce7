package oidc_test

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/storage"
)

// brokenLimiter is a limiter without a limit, which can fail.
type brokenLimiter struct{ b *breaking }

func (l brokenLimiter) Allow(context.Context, string) (time.Duration, error) {
	return 0, l.b.part("Limiter.Allow")
}

func (l brokenLimiter) Wait(context.Context, string) (time.Duration, error) {
	return 0, l.b.part("Limiter.Wait")
}

// brokenKeys are keys that can fail.
type brokenKeys struct {
	*gormstore.SigningKeys
	b *breaking
}

func (k brokenKeys) SigningKey(ctx context.Context, algorithm jose.SignatureAlgorithm, now time.Time) (*jose.JSONWebKey, error) {
	if err := k.b.part("SigningKey"); err != nil {
		return nil, err
	}
	return k.SigningKeys.SigningKey(ctx, algorithm, now)
}

func (k brokenKeys) PublicKeys(ctx context.Context, now time.Time) (*jose.JSONWebKeySet, error) {
	if err := k.b.part("PublicKeys"); err != nil {
		return nil, err
	}
	return k.SigningKeys.PublicKeys(ctx, now)
}

// brokenDecryption is a key that can fail.
type brokenDecryption struct{ b *breaking }

func (brokenDecryption) EncryptionAlgorithms() []jose.KeyAlgorithm {
	return []jose.KeyAlgorithm{jose.ECDH_ES}
}

func (k brokenDecryption) DecryptionKeys(context.Context, time.Time) (*jose.JSONWebKeySet, error) {
	return &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.b.key, Algorithm: string(jose.ECDH_ES)}}}, k.b.part("DecryptionKeys")
}

// brokenUser is a user whose claims can fail.
type brokenUser struct {
	*oauthtest.User
	b *breaking
}

func (u brokenUser) GetClaims(ctx context.Context, scopes []string) (map[string]any, error) {
	if err := u.b.part("GetClaims"); err != nil {
		return nil, err
	}
	return u.User.GetClaims(ctx, scopes)
}

// brokenHooks is every hook that returns an error, and does nothing else.
type brokenHooks struct{ b *breaking }

func (h brokenHooks) ResolveAuthorizationRequest(context.Context, *server.Request) error {
	return h.b.part("ResolveAuthorizationRequest")
}

func (h brokenHooks) PrepareInteraction(context.Context, *server.Request, *server.ConsentGrant) error {
	return h.b.part("PrepareInteraction")
}

func (h brokenHooks) DecideAuthorizationRequest(context.Context, *server.Request) error {
	return h.b.part("DecideAuthorizationRequest")
}

func (h brokenHooks) CheckAuthorizationRequest(context.Context, *server.Request) error {
	return h.b.part("CheckAuthorizationRequest")
}

func (h brokenHooks) PrepareAuthorizationCode(context.Context, *server.Request, *models.AuthorizationCodeMixin) error {
	return h.b.part("PrepareAuthorizationCode")
}

func (h brokenHooks) PreparePushedRequest(context.Context, *server.Request, *models.PushedRequestMixin) error {
	return h.b.part("PreparePushedRequest")
}

func (h brokenHooks) PrepareAuthorizationResponse(context.Context, *server.Request, map[string][]string) error {
	return h.b.part("PrepareAuthorizationResponse")
}

func (h brokenHooks) CheckIssuance(context.Context, *server.Request, *server.Issuance) error {
	return h.b.part("CheckIssuance")
}

func (h brokenHooks) PrepareToken(context.Context, *server.Request, *models.TokenMixin) error {
	return h.b.part("PrepareToken")
}

func (h brokenHooks) PrepareTokenResponse(context.Context, *server.Request, *models.TokenMixin, *server.TokenResponse) error {
	return h.b.part("PrepareTokenResponse")
}

func (h brokenHooks) PrepareIntrospection(context.Context, *server.Request, *storage.StoredToken, map[string]any) error {
	return h.b.part("PrepareIntrospection")
}

func (h brokenHooks) LookUpClient(_ context.Context, _ *server.Server, _ string, found storage.Client) (storage.Client, error) {
	return found, h.b.part("LookUpClient")
}

func (brokenHooks) ClientMetadataMembers() []string { return nil }

func (h brokenHooks) CheckClientMetadata(context.Context, *server.Request, *models.ClientMetadata) error {
	return h.b.part("CheckClientMetadata")
}

// Whichever part of the program's own fails, a hook, a limiter, a generator, the keys or what
// finds users, a request is answered by an error that says nothing of it, the log says why, and
// nothing is given away.
func TestEveryFailureOfAPartIsAnError(t *testing.T) {
	b := newBreaking(t, testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...), true)
	requests := everything()
	requests["a wrong secret"] = func(b *breaking) func() oauthtest.Answer {
		wrong := *b.client
		wrong.Secret = "wrong"
		return func() oauthtest.Answer { return b.Token(&wrong, "grant_type=client_credentials") }
	}
	requests["a device authorization of a client without a secret"] = func(b *breaking) func() oauthtest.Answer {
		client := b.NewClient(oauthtest.All(oauthtest.Public, oauthtest.Grants(deviceGrant)))
		return func() oauthtest.Answer {
			return b.Post("/oauth/device_authorization", nil, "client_id="+client.ClientID)
		}
	}
	requests["a pushed request of a client without a secret"] = func(b *breaking) func() oauthtest.Answer {
		client := b.NewClient(oauthtest.Public)
		return func() oauthtest.Answer { return b.Post("/oauth/par", nil, query(client)) }
	}
	requests["a token exchange for a JWT of somebody else"] = func(b *breaking) func() oauthtest.Answer {
		body := "grant_type=" + exchangeGrant + "&subject_token_type=" + url.QueryEscape("urn:ietf:params:oauth:token-type:jwt") + "&subject_token=" + b.signed("", "https://idp.example")
		return func() oauthtest.Answer { return b.Token(b.client, body) }
	}
	delete(requests, "the document of keys") // which has keys of its own
	failed := make(map[string]bool)
	for _, what := range slices.Sorted(maps.Keys(requests)) {
		t.Run(what, func(t *testing.T) {
			b.T = t
			healthy, _ := b.during(-1, b.fresh(requests[what]))
			const most = 60
			for fails := range most {
				a, any := b.during(fails, b.fresh(requests[what]))
				if !any {
					assert.Equal(t, healthy.Status, a.Status)
					return
				}
				if failed[b.failed] = true; strings.HasPrefix(what, "a denial") && b.failed == "PrepareInteraction" {
					assert.Equal(t, healthy.Params()["error"], a.Params()["error"], "what is denied needs no page")
					continue
				}
				b.isError(t, a)
			}
			t.Errorf("more than %d calls", most)
		})
	}
	assert.Equal(t, []string{
		"AccessTokenGenerator", "CheckAuthorizationRequest", "CheckClientMetadata", "CheckInitialAccessToken", "CheckIssuance", "DecideAuthorizationRequest", "DecryptionKeys", "GetClaims", "JWTBearer.Keys", "JWTBearer.QueryUser", "Limiter.Allow", "Limiter.Wait", "LookUpClient",
		"PrepareAuthorizationCode", "PrepareAuthorizationResponse", "PrepareInteraction", "PrepareIntrospection", "PreparePushedRequest", "PrepareToken", "PrepareTokenResponse",
		"Provider.Claims", "PublicKeys", "QueryUser", "ResolveAuthorizationRequest", "SigningKey", "SoftwareStatements.Keys", "TokenExchange.Policy",
	}, slices.Sorted(maps.Keys(failed)), "each part has failed")
}
