package main

import (
	"context"
	"slices"

	"github.com/gormoauth/gormoauth/server/oidc"
)

// personal holds what an application may learn about a user besides the name and the e-mail
// address: the claims of OpenID Connect Core section 5.1, in one JSON column.
type personal struct {
	GivenName   string `json:"given_name,omitempty"`
	FamilyName  string `json:"family_name,omitempty"`
	MiddleName  string `json:"middle_name,omitempty"`
	Nickname    string `json:"nickname,omitempty"`
	Profile     string `json:"profile,omitempty"`
	Picture     string `json:"picture,omitempty"`
	Website     string `json:"website,omitempty"`
	Gender      string `json:"gender,omitempty"`
	Birthdate   string `json:"birthdate,omitempty"`
	ZoneInfo    string `json:"zoneinfo,omitempty"`
	Locale      string `json:"locale,omitempty"`
	PhoneNumber string `json:"phone_number,omitempty"`
	// Address has the members of section 5.1.1.
	Address map[string]string `json:"address,omitempty"`
	// UpdatedAt is when the user last changed any of it, in Unix seconds.
	UpdatedAt int64 `json:"updated_at,omitempty"`
}

var _ oidc.User = (*User)(nil)

// GetClaims makes User an oidc.User. It returns what applications may learn about the user; the
// provider leaves out empty texts.
func (u *User) GetClaims(_ context.Context, scopes []string) (map[string]any, error) {
	claims := make(map[string]any)
	if slices.Contains(scopes, "profile") {
		for claim, text := range map[string]string{
			"name": u.Name, "preferred_username": u.Username, "given_name": u.Personal.GivenName, "family_name": u.Personal.FamilyName,
			"middle_name": u.Personal.MiddleName, "nickname": u.Personal.Nickname, "profile": u.Personal.Profile, "picture": u.Personal.Picture,
			"website": u.Personal.Website, "gender": u.Personal.Gender, "birthdate": u.Personal.Birthdate, "zoneinfo": u.Personal.ZoneInfo, "locale": u.Personal.Locale,
		} {
			claims[claim] = text
		}
		if u.Personal.UpdatedAt != 0 {
			claims["updated_at"] = u.Personal.UpdatedAt
		}
	}
	if slices.Contains(scopes, "email") && u.Email != "" {
		claims["email"], claims["email_verified"] = u.Email, false // no message was sent to it
	}
	if slices.Contains(scopes, "phone") && u.Personal.PhoneNumber != "" {
		claims["phone_number"], claims["phone_number_verified"] = u.Personal.PhoneNumber, false // nor was it called
	}
	if slices.Contains(scopes, "address") && len(u.Personal.Address) > 0 {
		claims["address"] = u.Personal.Address
	}
	return claims, nil
}
