package gormstore_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// This file is release 0.1 as a database and its clients see it: its columns,
// its statements and the form of its secrets, frozen. It is never edited, and
// uses nothing of this module. How a later release is frozen is told in
// upgrade_test.go.

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
type program01 struct {
	t  *testing.T
	db *gorm.DB
}

func newProgram01(t *testing.T, db *gorm.DB) release { return program01{t, db} }

func (program01) models() []any {
	return []any{&user01{}, &client01{}, &token01{}, &authorizationCode01{}}
}

func (program01) mixins() (client, token, code any) {
	return &ClientMixin01{}, &TokenMixin01{}, &AuthorizationCodeMixin01{}
}

func (program01) secret(kind, grant string) string {
	text := "goa_" + kind + "_" + rand.Text() + rand.Text()
	if grant != "" {
		text += "_" + grant
	}
	checksum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(text)))
	return text + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(checksum)
}

func digest01(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func (p program01) changed(db *gorm.DB, sql string, args ...any) bool {
	p.t.Helper()
	result := db.Exec(sql, args...)
	require.NoError(p.t, result.Error)
	return result.RowsAffected > 0
}

// one reads a row, by SELECT *: columns that are new are none of its affair.
func (p program01) one(row any, sql string, args ...any) bool {
	p.t.Helper()
	result := p.db.Raw(sql, args...).Scan(row)
	if result.Error != nil && strings.Contains(result.Error.Error(), "cached plan") {
		// PostgreSQL says so once for each prepared SELECT * of a table that has
		// got a column since. This release tries again by itself.
		result = p.db.Raw(sql, args...).Scan(row)
	}
	require.NoError(p.t, result.Error)
	return result.RowsAffected == 1
}

func (p program01) insertUser() (id uint) {
	p.t.Helper()
	require.True(p.t, p.one(&id, `INSERT INTO users (disabled) VALUES (?) RETURNING id`, false))
	return id
}

func (p program01) insertClient(clientID string, now int64) {
	p.t.Helper()
	p.changed(p.db, `INSERT INTO clients (default_scope, refuse_empty, client_id, client_secret, client_id_issued_at, client_secret_expires_at, client_metadata)
		VALUES ('', ?, ?, '', ?, 0, ?)`, false, clientID, now, `{"redirect_uris":["https://client.example/cb"],"token_endpoint_auth_method":"none",`+
		`"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"scope":"profile email"}`)
}

func (p program01) client(clientID string) (metadata string) {
	p.t.Helper()
	var row client01
	require.True(p.t, p.one(&row, `SELECT * FROM clients WHERE clients.client_id = ? LIMIT 1`, clientID))
	require.Equal(p.t, clientID, row.ClientID)
	return row.ClientMetadata
}

func (p program01) insertCode(userID uint, clientID, code, grant string, now int64) {
	p.t.Helper()
	p.changed(p.db, `INSERT INTO authorization_codes (user_id, code, client_id, redirect_uri, response_type, scope, nonce, auth_time, acr, amr, code_challenge,
		code_challenge_method, grant_id, issued_at, expires_at, redeemed_at, audience, claims, confirmation)
		VALUES (?, ?, ?, '', 'code', 'profile', '', ?, '', '', 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', 'S256', ?, ?, ?, 0, '', '', '')`,
		userID, digest01(code), clientID, now, digest01(grant), now, now+300)
}

func (p program01) redeem(code, access, refresh string, now int64) (won bool) {
	p.t.Helper()
	var row authorizationCode01
	require.True(p.t, p.one(&row, `SELECT * FROM authorization_codes WHERE authorization_codes.code = ? LIMIT 1`, digest01(code)))
	if row.RedeemedAt != 0 {
		return false
	}
	const (
		spend = `UPDATE authorization_codes SET redeemed_at = ? WHERE authorization_codes.code = ? AND authorization_codes.redeemed_at = 0 AND id = ?`
		into  = `INSERT INTO tokens (user_id, client_id, token_type, access_token, refresh_token, scope, issued_at, access_token_revoked_at, refresh_token_revoked_at,
			expires_in, grant_id, granted_scope, granted_audience, granted_at, rotated_at, refresh_token_expires_at, audience, confirmation, auth_time, expires_at) `
		values = `CAST(? AS bigint), ?, 'Bearer', ?, ?, ?, CAST(? AS bigint), 0, 0, 3600, ?, ?, '', CAST(? AS bigint), 0, CAST(? AS bigint), '', '', CAST(? AS bigint), CAST(? AS bigint)`
	)
	end := now + 30*24*3600
	spent := []any{now, row.Code, row.ID}
	token := []any{row.UserID, row.ClientID, digest01(access), digest01(refresh), row.Scope, now, row.GrantID, row.Scope, now, end, row.AuthTime, end}
	if p.db.Name() == "postgres" {
		return p.changed(p.db, `WITH spent AS (`+spend+` RETURNING 1) `+into+`SELECT `+values+` FROM spent`, append(spent, token...)...)
	}
	require.NoError(p.t, p.db.Transaction(func(tx *gorm.DB) error {
		if won = p.changed(tx, spend, spent...); won {
			p.changed(tx, into+`VALUES (`+values+`)`, token...)
		}
		return nil
	}))
	return won
}

func (p program01) valid(access string, now int64) bool {
	p.t.Helper()
	var row token01
	return p.one(&row, `SELECT * FROM tokens WHERE tokens.access_token = ? LIMIT 1`, digest01(access)) &&
		row.AccessTokenRevokedAt == 0 && row.RefreshTokenRevokedAt == 0 && now < row.IssuedAt+row.ExpiresIn
}

func (p program01) rotate(presented, grant, access, refresh string, now int64) (won bool) {
	p.t.Helper()
	var row token01
	if !p.one(&row, `SELECT * FROM tokens WHERE tokens.grant_id = ? AND tokens.refresh_token IS NOT NULL LIMIT 1`, digest01(grant)) ||
		*row.RefreshToken != digest01(presented) || row.RefreshTokenRevokedAt != 0 {
		return false
	}
	end := now + 30*24*3600
	return p.changed(p.db, `UPDATE tokens SET access_token = ?, access_token_revoked_at = 0, audience = '', confirmation = '', expires_at = ?, expires_in = 3600, grant_id = ?,
		issued_at = ?, refresh_token = ?, refresh_token_expires_at = ?, rotated_at = ?, scope = ?, token_type = 'Bearer'
		WHERE tokens.refresh_token = ? AND tokens.refresh_token_revoked_at = 0 AND id = ?`,
		digest01(access), end, digest01(grant), now, digest01(refresh), end, now, row.GrantedScope, digest01(presented), row.ID)
}

func (p program01) revokeToken(access string, now int64) {
	p.t.Helper()
	p.changed(p.db, `UPDATE tokens SET access_token_revoked_at = ? WHERE tokens.access_token = ? AND tokens.access_token_revoked_at = 0`, now, digest01(access))
}

func (p program01) revokeGrant(grant string, now int64) {
	p.t.Helper()
	for _, which := range []string{"NOT NULL", "NULL"} {
		p.changed(p.db, `UPDATE tokens SET refresh_token_revoked_at = ?
			WHERE tokens.grant_id = ? AND tokens.refresh_token IS `+which+` AND tokens.refresh_token_revoked_at = 0`, now, digest01(grant))
	}
}
