package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"golang.org/x/crypto/bcrypt"
	"gorm.io/gorm"
)

// fositeServer is ory/fosite, composed as its documentation shows, on the GORM
// store of fosite_store.go.
type fositeServer struct{ provider fosite.OAuth2Provider }

// newFosite returns fosite with a bcrypt cost for client secrets; 0 is its
// default.
func newFosite(cost int) func(db *gorm.DB) (contestant, error) {
	return func(db *gorm.DB) (contestant, error) {
		config := &fosite.Config{
			GlobalSecret: []byte("bench-global-secret-0123456789ab"), HashCost: cost, EnforcePKCE: true,
			AccessTokenLifespan: tokenLife, RefreshTokenScopes: []string{},
		}
		hash, err := bcrypt.GenerateFromPassword([]byte(clientSecret), config.GetBCryptCost(context.Background()))
		if err != nil {
			return nil, err
		}
		store, err := newFositeStore(db, hash)
		if err != nil {
			return nil, err
		}
		return &fositeServer{compose.Compose(config, store, compose.NewOAuth2HMACStrategy(config),
			compose.OAuth2AuthorizeExplicitFactory, compose.OAuth2ClientCredentialsGrantFactory, compose.OAuth2RefreshTokenGrantFactory,
			compose.OAuth2PKCEFactory, compose.OAuth2TokenIntrospectionFactory)}, nil
	}
}

// Token is the token endpoint.
func (f *fositeServer) Token(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	request, err := f.provider.NewAccessRequest(ctx, r, &fosite.DefaultSession{})
	if err != nil {
		f.provider.WriteAccessError(ctx, w, request, err)
		return
	}
	if request.GetGrantTypes().ExactOne("client_credentials") {
		for _, scope := range request.GetRequestedScopes() {
			request.GrantScope(scope)
		}
	}
	response, err := f.provider.NewAccessResponse(ctx, request)
	if err != nil {
		f.provider.WriteAccessError(ctx, w, request, err)
		return
	}
	f.provider.WriteAccessResponse(ctx, w, request, response)
}

// API is the protected resource.
func (f *fositeServer) API(w http.ResponseWriter, r *http.Request) {
	bearer := fosite.AccessTokenFromRequest(r)
	if _, _, err := f.provider.IntrospectToken(r.Context(), bearer, fosite.AccessToken, &fosite.DefaultSession{}); err != nil {
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// Code goes through the authorization endpoint.
func (f *fositeServer) Code(ctx context.Context) (string, error) {
	query := "response_type=code&client_id=" + clientID + "&redirect_uri=" + redirectURI + "&scope=profile&state=0123456789" +
		"&code_challenge=" + challenge + "&code_challenge_method=S256"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://id.example/authorize?"+query, strings.NewReader(""))
	if err != nil {
		return "", err
	}
	request, err := f.provider.NewAuthorizeRequest(ctx, r)
	if err != nil {
		return "", err
	}
	request.GrantScope("profile")
	response, err := f.provider.NewAuthorizeResponse(ctx, request, &fosite.DefaultSession{
		Subject: "1", ExpiresAt: map[fosite.TokenType]time.Time{fosite.AuthorizeCode: time.Now().Add(tokenLife)},
	})
	if err != nil {
		return "", err
	}
	return response.GetCode(), nil
}
