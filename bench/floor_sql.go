package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"
)

// sqlFloor is the floor of the floor: prepared statements of database/sql.
type sqlFloor struct {
	db                                                                     *sql.DB
	client, code, user, spend, insert, token, rotate, validate, insertCode *sql.Stmt
}

// numbered gives PostgreSQL its kind of placeholders.
func numbered(statement string) string {
	var b strings.Builder
	n := 0
	for _, c := range statement {
		if c == '?' {
			n++
			b.WriteString("$" + strconv.Itoa(n))
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

func newSQLFloor(db *gorm.DB) (contestant, error) {
	if err := prepare(db); err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	f := &sqlFloor{db: pool}
	for statement, into := range map[string]**sql.Stmt{
		`SELECT client_secret, client_metadata FROM clients WHERE client_id = ?`:                      &f.client,
		`SELECT user_id, code_challenge, scope, redirect_uri FROM authorization_codes WHERE code = ?`: &f.code,
		`SELECT id FROM users WHERE id = ?`:                                                           &f.user,
		`UPDATE authorization_codes SET redeemed_at = ?, redirect_uri = '', response_type = '', nonce = '', code_challenge = '', code_challenge_method = '', scope = '', audience = '', authorization_details = '', claims = '', confirmation = '', acr = '', amr = '', subject = ''
			WHERE code = ? AND redeemed_at = 0`: &f.spend,
		`INSERT INTO tokens (user_id, client_id, token_type, access_token, refresh_token, scope, issued_at, access_token_revoked_at, refresh_token_revoked_at, expires_in,
			grant_id, granted_scope, granted_audience, granted_at, rotated_at, refresh_token_expires_at, audience, confirmation, auth_time, expires_at)
			VALUES (?, ?, 'Bearer', ?, ?, 'profile', ?, 0, 0, 3600, ?, 'profile', '', ?, 0, ?, '', '', 0, ?)`: &f.insert,
		`SELECT id, user_id, refresh_token_revoked_at, grant_id FROM tokens WHERE refresh_token = ?`: &f.token,
		`UPDATE tokens SET access_token = ?, refresh_token = ?, token_type = 'Bearer', scope = 'profile', audience = '', authorization_details = '', confirmation = '', issued_at = ?, expires_in = 3600,
			access_token_revoked_at = 0, grant_id = ?, rotated_at = ?, refresh_token_expires_at = ?, expires_at = ?
			WHERE id = ? AND refresh_token = ? AND refresh_token_revoked_at = 0`: &f.rotate,
		`SELECT issued_at, expires_in, access_token_revoked_at, refresh_token_revoked_at, scope FROM tokens WHERE access_token = ?`: &f.validate,
		`INSERT INTO authorization_codes (user_id, code, client_id, redirect_uri, response_type, scope, nonce, auth_time, acr, amr, code_challenge, code_challenge_method,
			grant_id, issued_at, expires_at, redeemed_at, audience, claims, confirmation)
			VALUES (1, ?, ?, ?, 'code', 'profile', '', 0, '', '', ?, 'S256', ?, 0, ?, 0, '', '', '')`: &f.insertCode,
	} {
		if db.Name() == "postgres" {
			statement = numbered(statement)
		}
		if *into, err = pool.Prepare(statement); err != nil { //nolint:noctx // at the start
			return nil, err
		}
	}
	return f, nil
}

// Token is the token endpoint.
func (f *sqlFloor) Token(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	id, secret, _ := r.BasicAuth()
	var stored, metadata string
	if err := f.client.QueryRowContext(ctx, id).Scan(&stored, &metadata); err != nil || !sameSecret(stored, secret) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	access, refresh := rand.Text()+rand.Text(), ""
	var err error
	switch r.PostFormValue("grant_type") {
	case "client_credentials":
		err = f.create(ctx, f.insert, access, nil, nil)
	case "authorization_code":
		refresh = rand.Text() + rand.Text()
		err = f.redeem(ctx, r, access, refresh)
	case "refresh_token":
		refresh = rand.Text() + rand.Text()
		err = f.refresh(ctx, r.PostFormValue("refresh_token"), access, refresh)
	default:
		err = errRefused
	}
	answer(w, err, tokens{Access: access, Refresh: refresh})
}

func (f *sqlFloor) create(ctx context.Context, insert *sql.Stmt, access string, refresh *string, userID *uint) error {
	t := newToken(access, refresh, userID)
	_, err := insert.ExecContext(ctx, t.UserID, t.ClientID, t.AccessToken, t.RefreshToken, t.IssuedAt, t.GrantID, t.GrantedAt, t.RefreshTokenExpiresAt, t.ExpiresAt)
	return err
}

func (f *sqlFloor) redeem(ctx context.Context, r *http.Request, access, refresh string) error {
	code := digest(r.PostFormValue("code"))
	var userID uint
	var stored, scope, uri string
	if err := f.code.QueryRowContext(ctx, code).Scan(&userID, &stored, &scope, &uri); err != nil || !sameChallenge(stored, r.PostFormValue("code_verifier")) {
		return errRefused
	}
	if err := f.user.QueryRowContext(ctx, userID).Scan(&userID); err != nil {
		return errRefused
	}
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after COMMIT there is nothing to do
	result, err := tx.StmtContext(ctx, f.spend).ExecContext(ctx, time.Now().Unix(), code)
	if err != nil {
		return err
	}
	if rows, err := result.RowsAffected(); err != nil || rows != 1 {
		return errRefused
	}
	sum := digest(refresh)
	if err := f.create(ctx, tx.StmtContext(ctx, f.insert), access, &sum, &userID); err != nil {
		return err
	}
	return tx.Commit()
}

func (f *sqlFloor) refresh(ctx context.Context, presented, access, refresh string) error {
	var id, userID uint
	var revokedAt int64
	var grantID string // an index that need not change
	if err := f.token.QueryRowContext(ctx, digest(presented)).Scan(&id, &userID, &revokedAt, &grantID); err != nil || revokedAt != 0 {
		return errRefused
	}
	if err := f.user.QueryRowContext(ctx, userID).Scan(&userID); err != nil {
		return errRefused
	}
	t := newToken(access, nil, nil)
	result, err := f.rotate.ExecContext(ctx, t.AccessToken, digest(refresh), t.IssuedAt, grantID, t.IssuedAt, t.RefreshTokenExpiresAt, t.ExpiresAt, id, digest(presented))
	if err != nil {
		return err
	}
	if rows, err := result.RowsAffected(); err != nil || rows != 1 {
		return errRefused
	}
	return nil
}

// API is the protected resource.
func (f *sqlFloor) API(w http.ResponseWriter, r *http.Request) {
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	var t token
	err := f.validate.QueryRowContext(r.Context(), digest(bearer)).Scan(&t.IssuedAt, &t.ExpiresIn, &t.AccessTokenRevokedAt, &t.RefreshTokenRevokedAt, &t.Scope)
	if err != nil || !alive(&t) {
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// Code inserts a code.
func (f *sqlFloor) Code(ctx context.Context) (string, error) {
	code := rand.Text() + rand.Text()
	c := newCode(code)
	_, err := f.insertCode.ExecContext(ctx, c.Code, c.ClientID, c.RedirectURI, c.CodeChallenge, c.GrantID, c.ExpiresAt)
	return code, err
}
