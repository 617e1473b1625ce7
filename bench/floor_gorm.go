package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/models"
)

// gormFloor does what a token endpoint cannot do without, and no more: the same
// statements as the library, with GORM, and no protocol around them.
type gormFloor struct {
	db   *gorm.DB
	keys *floorKeys
}

func newGORMFloor(db *gorm.DB) (contestant, error) {
	if err := prepare(db); err != nil {
		return nil, err
	}
	keys, err := newFloorKeys()
	return &gormFloor{db.Session(&gorm.Session{SkipDefaultTransaction: true}), keys}, err
}

// refusal is the code of an error that a client may see.
type refusal string

// Error returns the code.
func (r refusal) Error() string { return string(r) }

const errRefused refusal = "invalid_grant"

// Token is the token endpoint.
func (f *gormFloor) Token(w http.ResponseWriter, r *http.Request) {
	db := f.authenticated(w, r)
	if db == nil {
		return
	}
	t := tokens{Access: rand.Text() + rand.Text()}
	var err error
	switch r.PostFormValue("grant_type") {
	case "client_credentials":
		err = db.Create(newToken(t.Access, nil, nil)).Error
	case "authorization_code":
		t.Refresh = rand.Text() + rand.Text()
		err = f.redeem(db, r, &t, func(*authorizationCode) error { return nil })
	case "refresh_token":
		t.Refresh = rand.Text() + rand.Text()
		err = f.rotate(db, r.PostFormValue("refresh_token"), t.Access, t.Refresh)
	default:
		err = errRefused
	}
	answer(w, err, t)
}

// authenticated returns a handle for the request of a client, or answers that it
// is none and returns nil.
func (f *gormFloor) authenticated(w http.ResponseWriter, r *http.Request) *gorm.DB {
	id, secret, _ := r.BasicAuth()
	db := f.db.WithContext(r.Context())
	var c client
	if db.Where("client_id = ?", id).Limit(1).Find(&c).RowsAffected != 1 || !sameSecret(c.ClientSecret, secret) {
		w.WriteHeader(http.StatusUnauthorized)
		return nil
	}
	return db
}

// redeem spends a code and stores the tokens, once the code has been looked at.
func (f *gormFloor) redeem(db *gorm.DB, r *http.Request, t *tokens, look func(code *authorizationCode) error) error {
	var code authorizationCode
	if db.Where("code = ?", digest(r.PostFormValue("code"))).Limit(1).Find(&code).RowsAffected != 1 || !sameChallenge(code.CodeChallenge, r.PostFormValue("code_verifier")) {
		return errRefused
	}
	var u user
	if db.Where("id = ?", code.UserID).Limit(1).Find(&u).RowsAffected != 1 {
		return errRefused
	}
	if err := look(&code); err != nil {
		return err
	}
	return db.Transaction(func(tx *gorm.DB) error {
		result := tx.Model(&authorizationCode{}).Where("code = ? AND redeemed_at = 0", code.Code).Updates(spent())
		if result.Error != nil {
			return result.Error
		}
		if result.RowsAffected != 1 {
			return errRefused
		}
		sum := digest(t.Refresh)
		return tx.Create(newToken(t.Access, &sum, &u.ID)).Error
	})
}

// spent is what becomes of a code that was redeemed: nobody needs what it said any more.
func spent() map[string]any {
	return map[string]any{
		"redeemed_at": time.Now().Unix(), "redirect_uri": "", "response_type": "", "nonce": "", "code_challenge": "", "code_challenge_method": "",
		"scope": "", "audience": "", "authorization_details": "", "claims": "", "confirmation": "", "acr": "", "amr": "", "subject": "",
	}
}

func (f *gormFloor) rotate(db *gorm.DB, presented, access, refresh string) error {
	var t token
	if db.Where("refresh_token = ?", digest(presented)).Limit(1).Find(&t).RowsAffected != 1 {
		return errRefused
	}
	var u user
	if db.Where("id = ?", *t.UserID).Limit(1).Find(&u).RowsAffected != 1 {
		return errRefused
	}
	sum := digest(refresh)
	next := newToken(access, &sum, t.UserID)
	result := db.Model(&t).Where("refresh_token = ? AND refresh_token_revoked_at = 0", digest(presented)).Updates(map[string]any{
		"access_token": next.AccessToken, "refresh_token": sum, "token_type": next.TokenType, "scope": next.Scope, "audience": "", "authorization_details": "", "confirmation": "",
		"issued_at": next.IssuedAt, "expires_in": next.ExpiresIn, "access_token_revoked_at": 0, "grant_id": t.GrantID, // an index that need not change
		"rotated_at": next.IssuedAt, "form": next.Form, "issuer": next.Issuer, "refreshed_for": next.RefreshedFor, "successor_salt": next.SuccessorSalt, "refresh_token_expires_at": next.RefreshTokenExpiresAt, "expires_at": next.ExpiresAt,
	})
	if result.Error == nil && result.RowsAffected != 1 {
		return errRefused
	}
	return result.Error
}

// API is the protected resource.
func (f *gormFloor) API(w http.ResponseWriter, r *http.Request) {
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	var t token
	if f.db.WithContext(r.Context()).Where("access_token = ?", digest(bearer)).Limit(1).Find(&t).RowsAffected != 1 || !alive(&t) {
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// Code inserts a code.
func (f *gormFloor) Code(ctx context.Context) (string, error) {
	code := rand.Text() + rand.Text()
	return code, f.db.WithContext(ctx).Create(&authorizationCode{UserID: 1, AuthorizationCodeMixin: newCode(code)}).Error
}

func newCode(code string) models.AuthorizationCodeMixin {
	now := time.Now().Unix()
	return models.AuthorizationCodeMixin{AuthTime: now, Authorization: models.Authorization{ClientID: clientID, GrantID: digest(code + "g")}, Code: digest(code), RedirectURI: redirectURI, ResponseType: "code", Scope: "profile",
		CodeChallenge: challenge, CodeChallengeMethod: "S256", IssuedAt: now, ExpiresAt: now + 300}
}

func newToken(access string, refresh *string, userID *uint) *token {
	now, life, grantID := time.Now().Unix(), int64(tokenLife/time.Second), ""
	if refresh != nil {
		grantID = digest(access + "g")
	}
	return &token{UserID: userID, TokenMixin: models.TokenMixin{
		Authorization: models.Authorization{ClientID: clientID, GrantID: grantID}, TokenType: "Bearer", AccessToken: digest(access), RefreshToken: refresh, Scope: "profile", GrantedScope: "profile",
		IssuedAt: now, ExpiresIn: life, GrantedAt: now, RefreshTokenExpiresAt: now + 24*life, ExpiresAt: now + 24*life,
	}}
}

func alive(t *token) bool {
	return t.AccessTokenRevokedAt == 0 && t.RefreshTokenRevokedAt == 0 && time.Now().Unix() < t.IssuedAt+t.ExpiresIn
}

func sameSecret(stored, secret string) bool {
	return subtle.ConstantTimeCompare([]byte(stored), []byte(models.HashClientSecret(secret))) == 1
}

func sameChallenge(stored, verifier string) bool {
	sum := sha256.Sum256([]byte(verifier))
	return stored == base64.RawURLEncoding.EncodeToString(sum[:])
}

func answer(w http.ResponseWriter, err error, t tokens) {
	var code refusal
	switch {
	case errors.As(err, &code):
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": string(code)})
	case err != nil:
		writeJSON(w, http.StatusInternalServerError, map[string]string{"error": err.Error()})
	default:
		w.Header().Set("Cache-Control", "no-store")
		body := map[string]any{"access_token": t.Access, "refresh_token": t.Refresh, "token_type": "Bearer", "expires_in": 3600, "scope": "profile"}
		if t.ID != "" {
			body["id_token"] = t.ID
		}
		writeJSON(w, http.StatusOK, body)
	}
}
