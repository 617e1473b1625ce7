package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/models"
)

// floorKeys are what the floor signs by, made ready once.
type floorKeys struct {
	public                 *ecdsa.PublicKey
	accessTokens, idTokens jose.Signer
}

func newFloorKeys() (*floorKeys, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key := jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: private, KeyID: "floor"}}
	accessTokens, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType(accessTokenType))
	if err != nil {
		return nil, err
	}
	idTokens, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	return &floorKeys{&private.PublicKey, accessTokens, idTokens}, err
}

const accessTokenType = "at+jwt"

// signedToken is the claims of RFC 9068 section 2.2, as far as there are any here.
type signedToken struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	ClientID  string   `json:"client_id"`
	Audience  []string `json:"aud"`
	ExpiresAt int64    `json:"exp"`
	IssuedAt  int64    `json:"iat"`
	ID        string   `json:"jti"`
	Scope     string   `json:"scope"`
}

// idToken is the claims of OpenID Connect Core section 2, as far as there are any
// here.
type idToken struct {
	Issuer          string `json:"iss"`
	Subject         string `json:"sub"`
	Audience        string `json:"aud"`
	AuthorizedParty string `json:"azp"`
	ExpiresAt       int64  `json:"exp"`
	IssuedAt        int64  `json:"iat"`
	AuthTime        int64  `json:"auth_time"`
	Nonce           string `json:"nonce"`
	AccessTokenHash string `json:"at_hash"`
}

// Refusals of a provider.
const (
	errPending  refusal = "authorization_pending"
	errSlowDown refusal = "slow_down"
	errProof    refusal = "invalid_dpop_proof"
)

// Routes are the handlers of the operations beyond the basic ones, by path.
func (f *gormFloor) Routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"POST " + introspectPath: f.introspect,
		"POST " + providerPath:   f.providerToken,
		"POST " + jwtTokenPath:   f.signedToken,
		"GET " + jwtAPIPath:      f.signedAPI,
		"GET " + dpopAPIPath:     f.boundAPI,
		"GET " + jwksPath: func(w http.ResponseWriter, _ *http.Request) {
			key := jose.JSONWebKey{Key: f.keys.public, KeyID: "floor", Algorithm: string(jose.ES256)}
			writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key}})
		},
	}
}

func (f *gormFloor) introspect(w http.ResponseWriter, r *http.Request) {
	db := f.authenticated(w, r)
	if db == nil {
		return
	}
	var t token
	var u user
	if db.Where("access_token = ?", digest(r.PostFormValue("token"))).Limit(1).Find(&t).RowsAffected != 1 || !alive(&t) ||
		db.Where("id = ?", *t.UserID).Limit(1).Find(&u).RowsAffected != 1 {
		writeJSON(w, http.StatusOK, map[string]any{"active": false})
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, map[string]any{"active": true, "client_id": t.ClientID, "iss": issuer, "sub": u.GetUserID(), "token_type": t.TokenType,
		"scope": t.Scope, "iat": t.IssuedAt, "exp": t.IssuedAt + t.ExpiresIn, "auth_time": t.AuthTime})
}

// providerToken is the token endpoint of a provider.
func (f *gormFloor) providerToken(w http.ResponseWriter, r *http.Request) {
	db := f.authenticated(w, r)
	if db == nil {
		return
	}
	t := tokens{Access: rand.Text() + rand.Text()}
	var err error
	switch r.PostFormValue("grant_type") {
	case "client_credentials":
		err = f.issueBound(db, r, t.Access)
	case "authorization_code":
		t.Refresh = rand.Text() + rand.Text()
		err = f.redeem(db, r, &t, func(code *authorizationCode) (err error) {
			t.ID, err = f.idToken(code, t.Access)
			return err
		})
	case deviceGrantType:
		err = f.poll(db, r.PostFormValue("device_code"))
	default:
		err = errRefused
	}
	answer(w, err, t)
}

func (f *gormFloor) issueBound(db *gorm.DB, r *http.Request, access string) error {
	thumbprint, err := f.proved(db, r, tokenTarget, "")
	if err != nil {
		return err
	}
	t := newToken(access, nil, nil)
	t.TokenType, t.Confirmation = "DPoP", confirmation(thumbprint)
	return db.Create(t).Error
}

func confirmation(thumbprint string) string { return `{"jkt":"` + thumbprint + `"}` }

// proved returns the thumbprint of the key whose proof comes with a request, for
// the access token if that is not empty. A proof is good once.
func (f *gormFloor) proved(db *gorm.DB, r *http.Request, target, access string) (thumbprint string, err error) {
	signed, err := jose.ParseSignedCompact(r.Header.Get("DPoP"), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return "", errProof
	}
	header := signed.Signatures[0].Header
	if header.ExtraHeaders[jose.HeaderType] != proofType || header.JSONWebKey == nil {
		return "", errProof
	}
	payload, err := signed.Verify(header.JSONWebKey)
	var claims proof
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return "", errProof
	}
	if claims.Method != r.Method || claims.Target != target || time.Since(time.Unix(claims.IssuedAt, 0)).Abs() > 2*time.Minute ||
		access != "" && claims.AccessTokenHash != accessTokenHash(access) {
		return "", errProof
	}
	sum, err := header.JSONWebKey.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", errProof
	}
	thumbprint = base64.RawURLEncoding.EncodeToString(sum)
	used := replay{ReplayMixin: models.ReplayMixin{ReplayKey: digest(thumbprint + " " + claims.ID), ExpiresAt: claims.IssuedAt + 240}}
	if db.Create(&used).Error != nil { // the unique index decides
		return "", errProof
	}
	return thumbprint, nil
}

func (f *gormFloor) poll(db *gorm.DB, presented string) error {
	now := time.Now().Unix()
	var code deviceCode
	if db.Where("device_code = ?", digest(presented)).Limit(1).Find(&code).RowsAffected != 1 || now >= code.ExpiresAt || code.ApprovedAt != 0 {
		return errRefused
	}
	paced := db.Model(&deviceCode{}).Where("device_code = ? AND last_polled_at <= ? - poll_interval", code.DeviceCode, now).Updates(map[string]any{"last_polled_at": now})
	if paced.Error != nil {
		return paced.Error
	}
	if paced.RowsAffected == 1 {
		return errPending
	}
	tooSoon := db.Model(&deviceCode{}).Where("device_code = ? AND last_polled_at < ?", code.DeviceCode, now-1).Updates(map[string]any{"last_polled_at": now, "poll_interval": gorm.Expr("poll_interval + 5")})
	if tooSoon.Error != nil {
		return tooSoon.Error
	}
	if tooSoon.RowsAffected == 0 { // the same poll once more
		return errPending
	}
	return errSlowDown
}

func (f *gormFloor) idToken(code *authorizationCode, access string) (string, error) {
	now := time.Now().Unix()
	u := user{ID: code.UserID}
	hash, err := base64.RawURLEncoding.DecodeString(accessTokenHash(access))
	if err != nil {
		return "", err
	}
	return sign(f.keys.idTokens, idToken{Issuer: issuer, Subject: u.GetUserID(), Audience: clientID, AuthorizedParty: clientID, ExpiresAt: now + 3600, IssuedAt: now,
		AuthTime: code.AuthTime, Nonce: code.Nonce, AccessTokenHash: base64.RawURLEncoding.EncodeToString(hash[:len(hash)/2])})
}

// signedToken issues an access token that is signed.
func (f *gormFloor) signedToken(w http.ResponseWriter, r *http.Request) {
	db := f.authenticated(w, r)
	if db == nil {
		return
	}
	now := time.Now().Unix()
	access, err := sign(f.keys.accessTokens, signedToken{Issuer: issuer, Subject: clientID, ClientID: clientID, Audience: []string{apiAudience},
		ExpiresAt: now + 3600, IssuedAt: now, ID: rand.Text(), Scope: "profile"})
	if err == nil {
		err = db.Create(newToken(access, nil, nil)).Error
	}
	answer(w, err, tokens{Access: access})
}

// signedAPI is the protected resource for tokens that are signed.
func (f *gormFloor) signedAPI(w http.ResponseWriter, r *http.Request) {
	if !f.verified(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func (f *gormFloor) verified(access string) bool {
	signed, err := jose.ParseSignedCompact(access, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || signed.Signatures[0].Header.ExtraHeaders[jose.HeaderType] != accessTokenType {
		return false
	}
	payload, err := signed.Verify(f.keys.public)
	var claims signedToken
	return err == nil && json.Unmarshal(payload, &claims) == nil && claims.Issuer == issuer && len(claims.Audience) == 1 && claims.Audience[0] == apiAudience &&
		time.Now().Unix() < claims.ExpiresAt
}

// boundAPI is the protected resource for tokens that are bound to a key.
func (f *gormFloor) boundAPI(w http.ResponseWriter, r *http.Request) {
	access := strings.TrimPrefix(r.Header.Get("Authorization"), "DPoP ")
	db := f.db.WithContext(r.Context())
	var t token
	if db.Where("access_token = ?", digest(access)).Limit(1).Find(&t).RowsAffected != 1 || !alive(&t) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	thumbprint, err := f.proved(db, r, apiTarget, access)
	if err != nil || t.Confirmation != confirmation(thumbprint) {
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// OpenIDCode inserts a code.
func (f *gormFloor) OpenIDCode(ctx context.Context) (string, error) {
	code := rand.Text() + rand.Text()
	mixin := newCode(code)
	mixin.Scope, mixin.Nonce = "openid profile", nonce
	return code, f.db.WithContext(ctx).Create(&authorizationCode{UserID: 1, AuthorizationCodeMixin: mixin}).Error
}

// DeviceCode inserts a device code.
func (f *gormFloor) DeviceCode(ctx context.Context) (string, error) {
	code, now := rand.Text()+rand.Text(), time.Now().Unix()
	return code, f.db.WithContext(ctx).Create(&deviceCode{DeviceCodeMixin: models.DeviceCodeMixin{
		Authorization: models.Authorization{ClientID: clientID, GrantID: digest(code + "g")},
		DeviceCode:    digest(code), UserCode: digest(rand.Text()), Scope: "profile",
		IssuedAt: now, ExpiresAt: now + 600, PollInterval: 5,
	}}).Error
}
