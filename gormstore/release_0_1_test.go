package gormstore_test

import "gorm.io/gorm"

// This file is release 0.1 as a database sees it: its columns and its
// statements, frozen. It is never edited. A later release is frozen by a file
// like this one, when it is made, and a line in upgrade_test.go.

type (
	user01 struct {
		ID       uint
		Disabled bool
	}
	client01 struct {
		ID           uint
		DefaultScope string
		RefuseEmpty  bool
		ClientMixin01
	}
	token01 struct {
		ID     uint
		UserID *uint
		User   *user01
		TokenMixin01
	}
	authorizationCode01 struct {
		ID     uint
		UserID uint
		User   user01
		AuthorizationCodeMixin01
	}
)

func (user01) TableName() string              { return "users" }
func (client01) TableName() string            { return "clients" }
func (token01) TableName() string             { return "tokens" }
func (authorizationCode01) TableName() string { return "authorization_codes" }

// ClientMixin01 is the columns of models.ClientMixin.
type ClientMixin01 struct {
	ClientID              string `gorm:"column:client_id;type:varchar(48);uniqueIndex"`
	ClientSecret          string `gorm:"column:client_secret;type:varchar(120)"`
	ClientIDIssuedAt      int64  `gorm:"column:client_id_issued_at;not null"`
	ClientSecretExpiresAt int64  `gorm:"column:client_secret_expires_at;not null"`
	ClientMetadata        string `gorm:"column:client_metadata;type:text"`
}

// TokenMixin01 is the columns of models.TokenMixin.
type TokenMixin01 struct {
	ClientID              string  `gorm:"column:client_id;type:varchar(48);index"`
	TokenType             string  `gorm:"column:token_type;type:varchar(40)"`
	AccessToken           string  `gorm:"column:access_token;type:varchar(255);not null;uniqueIndex"`
	RefreshToken          *string `gorm:"column:refresh_token;type:varchar(255);index"`
	Scope                 string  `gorm:"column:scope;type:text"`
	IssuedAt              int64   `gorm:"column:issued_at;not null"`
	AccessTokenRevokedAt  int64   `gorm:"column:access_token_revoked_at;not null"`
	RefreshTokenRevokedAt int64   `gorm:"column:refresh_token_revoked_at;not null"`
	ExpiresIn             int64   `gorm:"column:expires_in;not null"`
	GrantID               string  `gorm:"column:grant_id;type:varchar(64);index"`
	GrantedScope          string  `gorm:"column:granted_scope;type:text"`
	GrantedAudience       string  `gorm:"column:granted_audience;type:text"`
	GrantedAt             int64   `gorm:"column:granted_at;not null;default:0"`
	RotatedAt             int64   `gorm:"column:rotated_at;not null;default:0"`
	RefreshTokenExpiresAt int64   `gorm:"column:refresh_token_expires_at;not null;default:0"`
	Audience              string  `gorm:"column:audience;type:text"`
	Confirmation          string  `gorm:"column:confirmation;type:text"`
	AuthTime              int64   `gorm:"column:auth_time;not null;default:0"`
	ExpiresAt             int64   `gorm:"column:expires_at;not null;default:0;index"`
}

// AuthorizationCodeMixin01 is the columns of models.AuthorizationCodeMixin.
type AuthorizationCodeMixin01 struct {
	Code                string `gorm:"column:code;type:varchar(120);not null;uniqueIndex"`
	ClientID            string `gorm:"column:client_id;type:varchar(48)"`
	RedirectURI         string `gorm:"column:redirect_uri;type:text"`
	ResponseType        string `gorm:"column:response_type;type:text"`
	Scope               string `gorm:"column:scope;type:text"`
	Nonce               string `gorm:"column:nonce;type:text"`
	AuthTime            int64  `gorm:"column:auth_time;not null"`
	ACR                 string `gorm:"column:acr;type:text"`
	AMR                 string `gorm:"column:amr;type:text"`
	CodeChallenge       string `gorm:"column:code_challenge;type:text"`
	CodeChallengeMethod string `gorm:"column:code_challenge_method;type:varchar(48)"`
	GrantID             string `gorm:"column:grant_id;type:varchar(64)"`
	IssuedAt            int64  `gorm:"column:issued_at;not null;default:0"`
	ExpiresAt           int64  `gorm:"column:expires_at;not null;default:0;index"`
	RedeemedAt          int64  `gorm:"column:redeemed_at;not null;default:0"`
	Audience            string `gorm:"column:audience;type:text"`
	Claims              string `gorm:"column:claims;type:text"`
	Confirmation        string `gorm:"column:confirmation;type:text"`
}

// program01 is what a program of release 0.1 sends to its database.
type program01 struct{ db *gorm.DB }

func (program01) models() []any {
	return []any{&user01{}, &client01{}, &token01{}, &authorizationCode01{}}
}

func (p program01) changed(sql string, args ...any) (int64, error) {
	result := p.db.Exec(sql, args...)
	return result.RowsAffected, result.Error
}

func (p program01) saveCode(userID uint, code, clientID, grantID, challenge string, now int64) error {
	_, err := p.changed(`INSERT INTO authorization_codes (user_id, code, client_id, redirect_uri, response_type, scope, nonce, auth_time, acr, amr, code_challenge,
		code_challenge_method, grant_id, issued_at, expires_at, redeemed_at, audience, claims, confirmation)
		VALUES (?, ?, ?, '', 'code', 'profile', '', ?, '', '', ?, 'S256', ?, ?, ?, 0, '', '', '')`, userID, code, clientID, now, challenge, grantID, now, now+300)
	return err
}

func (p program01) spendCode(code string, now int64) (int64, error) {
	return p.changed(`UPDATE authorization_codes SET redeemed_at = ? WHERE code = ? AND redeemed_at = 0`, now, code)
}

func (p program01) insertToken(userID uint, clientID, access, refresh, grantID string, now int64) error {
	_, err := p.changed(`INSERT INTO tokens (user_id, client_id, token_type, access_token, refresh_token, scope, issued_at, access_token_revoked_at,
		refresh_token_revoked_at, expires_in, grant_id, granted_scope, granted_audience, granted_at, rotated_at, refresh_token_expires_at, audience, confirmation,
		auth_time, expires_at) VALUES (?, ?, 'Bearer', ?, ?, 'profile', ?, 0, 0, 3600, ?, 'profile', '', ?, 0, 0, '', '', 0, 0)`,
		userID, clientID, access, refresh, now, grantID, now)
	return err
}

func (p program01) rotate(access, refresh, presented string, now int64) (int64, error) {
	return p.changed(`UPDATE tokens SET access_token = ?, refresh_token = ?, token_type = 'Bearer', scope = 'profile', audience = '', confirmation = '', issued_at = ?,
		expires_in = 3600, access_token_revoked_at = 0, rotated_at = ?, refresh_token_expires_at = 0, expires_at = 0
		WHERE refresh_token = ? AND refresh_token_revoked_at = 0`, access, refresh, now, now, presented)
}

func (p program01) revokeGrant(grantID string, now int64) (int64, error) {
	return p.changed(`UPDATE tokens SET refresh_token_revoked_at = ? WHERE grant_id = ? AND refresh_token_revoked_at = 0`, now, grantID)
}

// valid asks what a bearer validator asks.
func (p program01) valid(access string, now int64) (bool, error) {
	var rows int64
	err := p.db.Raw(`SELECT count(*) FROM tokens WHERE access_token = ? AND access_token_revoked_at = 0 AND refresh_token_revoked_at = 0
		AND (expires_in = 0 OR issued_at + expires_in > ?)`, access, now).Scan(&rows).Error
	return rows == 1, err
}
