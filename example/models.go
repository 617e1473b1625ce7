package main

import (
	"strconv"

	"github.com/gormoauth/gormoauth/models"
)

// allModels are the models that have tables.
func allModels() []any {
	return []any{
		&User{}, &Client{}, &Token{}, &AuthorizationCode{}, &Consent{}, &ClientSession{}, &Logout{},
		&DeviceCode{}, &PushedRequest{}, &SigningKey{}, &Replay{}, &Audit{}, &Session{},
	}
}

// User is a person who can sign in.
type User struct {
	ID           uint
	Username     string `gorm:"size:64;not null;uniqueIndex"`
	PasswordHash string `gorm:"size:60;not null"`
	Name         string `gorm:"size:200;not null"`
	Email        string `gorm:"size:200;not null"`
	// Personal holds further claims about the user.
	Personal personal `gorm:"serializer:json;type:text"`
	// Disabled users cannot sign in, and everything that they granted is refused.
	Disabled bool `gorm:"not null"`
	// Demo marks an account whose password is public.
	Demo bool `gorm:"not null"`

	models.UserMixin
}

// GetUserID makes User a storage.User.
func (u *User) GetUserID() string { return strconv.FormatUint(uint64(u.ID), 10) }

// Client is an application that may ask for tokens.
type Client struct {
	ID uint
	// UserID is the user who registered the client; nil for the operator's own clients.
	UserID *uint `gorm:"index"`
	// Demo marks a client whose secret is public.
	Demo bool `gorm:"not null"`
	models.ClientMixin
}

// Token is a grant with its access token and, where it has one, its refresh
// token. UserID is a pointer because a client can have a token of its own.
type Token struct {
	ID     uint
	UserID *uint `gorm:"index"`
	// LastUsedAt is when the API last saw the token, in Unix seconds, to the minute.
	LastUsedAt int64 `gorm:"not null;default:0"`
	models.TokenMixin
}

// AuthorizationCode is what a client exchanges for a token.
type AuthorizationCode struct {
	ID     uint
	UserID uint `gorm:"index"`
	models.AuthorizationCodeMixin
}

// Consent is what a user has allowed a client to do.
type Consent struct {
	ID     uint
	UserID uint `gorm:"index"`
	models.ConsentMixin
}

// ClientSession is a session at a client that began with a signed-in browser here.
type ClientSession struct {
	ID     uint
	UserID uint `gorm:"index"`
	models.SessionMixin
}

// Logout is a logout that a client still has to be told of.
type Logout struct {
	ID uint
	models.LogoutMixin
}

// DeviceCode is a device that waits for its owner's consent.
type DeviceCode struct {
	ID     uint
	UserID *uint `gorm:"index"`
	models.DeviceCodeMixin
}

// PushedRequest is an authorization request that a client sent ahead.
type PushedRequest struct {
	ID uint
	models.PushedRequestMixin
}

// SigningKey is a key pair with which the server signs.
type SigningKey struct {
	ID uint
	models.SigningKeyMixin
}

// Replay records something that may be presented only once, such as a client assertion.
type Replay struct {
	ID uint
	models.ReplayMixin
}

// Audit is an entry in the trail of who granted, refreshed, revoked and registered what.
type Audit struct {
	ID     uint
	UserID *uint `gorm:"index:,composite:user,priority:1"`
	models.AuditMixin
}

// Session is a signed-in browser.
type Session struct {
	// Token is the digest of the cookie's value.
	Token     string `gorm:"primaryKey;size:64"`
	Data      []byte `gorm:"not null"`
	ExpiresAt int64  `gorm:"not null;index"`
}
