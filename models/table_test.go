package models_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/models"
)

// What a mixin says of its table, all of it: the storage does with the rows what stands here.
func TestDescriptions(t *testing.T) {
	got := make(map[string]string)
	for _, mixin := range []interface{ DescribeTable() models.Table }{
		&models.ClientMixin{}, &models.TokenMixin{}, &models.AuthorizationCodeMixin{}, &models.DeviceCodeMixin{}, &models.PushedRequestMixin{}, &models.ReplayMixin{},
		&models.SigningKeyMixin{}, &models.SessionMixin{}, &models.LogoutMixin{}, &models.ConsentMixin{}, &models.AuditMixin{},
	} {
		got[fmt.Sprintf("%T", mixin)] = fmt.Sprintf("%+v", mixin.DescribeTable())
	}
	assert.Equal(t, map[string]string{
		"*models.AuditMixin":             "{Key:AuditKey Digests:[GrantID] JSONLists:[AuthorizationDetails] JSONObjects:[] SpentAt: Unspent:[] ExpiresAt: KeptAt: ZeroIsForever:false GrantID: ClientID: OfUser:true Blank:[RemoteAddress AuthorizationDetails]}",
		"*models.AuthorizationCodeMixin": "{Key:Code Digests:[Code GrantID] JSONLists:[AuthorizationDetails] JSONObjects:[Claims Confirmation] SpentAt:RedeemedAt Unspent:[RedirectURI ResponseType Nonce CodeChallenge CodeChallengeMethod Scope Audience AuthorizationDetails Claims Confirmation ACR AMR Subject] ExpiresAt:ExpiresAt KeptAt: ZeroIsForever:false GrantID:GrantID ClientID:ClientID OfUser:true Blank:[]}",
		"*models.ClientMixin":            "{Key:ClientID Digests:[RegistrationAccessToken] JSONLists:[] JSONObjects:[] SpentAt: Unspent:[] ExpiresAt:UnusedExpiresAt KeptAt:ClientDeletedAt ZeroIsForever:true GrantID: ClientID: OfUser:false Blank:[]}",
		"*models.ConsentMixin":           "{Key:ConsentKey Digests:[ConsentKey] JSONLists:[AuthorizationDetails] JSONObjects:[Claims PartsGrantedAt] SpentAt: Unspent:[] ExpiresAt: KeptAt: ZeroIsForever:false GrantID: ClientID:ClientID OfUser:true Blank:[]}",
		"*models.DeviceCodeMixin":        "{Key:DeviceCode Digests:[DeviceCode UserCode GrantID] JSONLists:[AuthorizationDetails] JSONObjects:[Claims Confirmation] SpentAt:RedeemedAt Unspent:[Scope Audience AuthorizationDetails Claims Confirmation ACR AMR Subject] ExpiresAt:ExpiresAt KeptAt: ZeroIsForever:false GrantID:GrantID ClientID:ClientID OfUser:true Blank:[]}",
		"*models.LogoutMixin":            "{Key:LogoutID Digests:[] JSONLists:[] JSONObjects:[] SpentAt: Unspent:[] ExpiresAt:ExpiresAt KeptAt: ZeroIsForever:false GrantID: ClientID: OfUser:false Blank:[]}",
		"*models.PushedRequestMixin":     "{Key:RequestURI Digests:[RequestURI] JSONLists:[] JSONObjects:[] SpentAt:UsedAt Unspent:[] ExpiresAt:ExpiresAt KeptAt: ZeroIsForever:false GrantID: ClientID: OfUser:false Blank:[]}",
		"*models.ReplayMixin":            "{Key:ReplayKey Digests:[ReplayKey] JSONLists:[] JSONObjects:[] SpentAt: Unspent:[] ExpiresAt:ExpiresAt KeptAt: ZeroIsForever:false GrantID: ClientID: OfUser:false Blank:[]}",
		"*models.SessionMixin":           "{Key:SID Digests:[SessionID] JSONLists:[] JSONObjects:[] SpentAt: Unspent:[] ExpiresAt:ExpiresAt KeptAt: ZeroIsForever:false GrantID: ClientID: OfUser:true Blank:[]}",
		"*models.SigningKeyMixin":        "{Key:KeyID Digests:[] JSONLists:[] JSONObjects:[] SpentAt: Unspent:[] ExpiresAt:ExpiresAt KeptAt: ZeroIsForever:false GrantID: ClientID: OfUser:false Blank:[]}",
		"*models.TokenMixin":             "{Key:AccessToken Digests:[AccessToken RefreshToken GrantID RefreshedFor] JSONLists:[AuthorizationDetails GrantedAuthorizationDetails] JSONObjects:[Claims Actor Confirmation] SpentAt: Unspent:[] ExpiresAt:ExpiresAt KeptAt: ZeroIsForever:true GrantID:GrantID ClientID:ClientID OfUser:true Blank:[]}",
	}, got)
}

func TestWhichClientsHaveASlowSecret(t *testing.T) {
	bcrypt, argon, quick := "$2a$"+strings.Repeat("a", 56), "$argon2id$v=19$x", models.HashClientSecret("x")
	for _, c := range []struct {
		current, previous string
		want              bool
	}{
		{"", "", false}, {quick, quick, false}, {bcrypt, "", true}, {argon, quick, true}, {quick, bcrypt, true}, {"", argon, true}, {bcrypt[1:], "", false},
	} {
		client := &models.ClientMixin{ClientSecret: c.current, PreviousClientSecret: c.previous}
		assert.Equal(t, c.want, client.HasPasswordDigest(), c)
	}
}

func TestGettersOfADeviceCodeReadItsColumns(t *testing.T) {
	details := `[{"type":"payment"}]`
	code := &models.DeviceCodeMixin{Scope: "a", Audience: "b", AuthorizationDetails: details}
	assert.Equal(t, []any{"a", "b", details, models.Granted{Scope: "a", Audience: "b", AuthorizationDetails: details}},
		[]any{code.GetScope(), code.GetAudience(), code.GetAuthorizationDetails(), code.GetGranted()})
}
