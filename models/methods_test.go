package models_test

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/models"
)

// mixins is one of each.
func mixins() []any {
	return []any{
		&models.AuditMixin{}, &models.AuthorizationCodeMixin{}, &models.ClientMixin{}, &models.ConsentMixin{}, &models.DeviceCodeMixin{}, &models.LogoutMixin{},
		&models.PushedRequestMixin{}, &models.ReplayMixin{}, &models.SessionMixin{}, &models.SigningKeyMixin{}, &models.TokenMixin{}, &models.UserMixin{},
	}
}

// What each method of a mixin answers, of a row whose columns all have values: a text by the name of its
// column, a number by its place in the row.
func TestWhatEachMethodReads(t *testing.T) {
	var answers strings.Builder
	typed := regexp.MustCompile(`\[\{"type":"(\w+)"\}\]`)
	for _, mixin := range mixins() {
		row := reflect.ValueOf(mixin)
		name := row.Elem().Type().Name()
		fillDeep(row.Elem())
		for i := range row.NumMethod() {
			method := row.Type().Method(i)
			call := fmt.Sprintf("%s.%s ", name, method.Name)
			switch f := row.Method(i).Interface().(type) {
			case func() string:
				fmt.Fprintln(&answers, call+f())
			case func() int64:
				fmt.Fprintln(&answers, call+fmt.Sprint(f()))
			case func() []string:
				fmt.Fprintln(&answers, call+fmt.Sprint(f()))
			case func() []byte:
				fmt.Fprintln(&answers, call+string(f()))
			case func() bool:
				if columns := because(t, mixin, method.Name); columns != nil {
					fmt.Fprintln(&answers, call+"by "+strings.Join(columns, " or "))
				}
			case func(time.Time) bool:
				fmt.Fprintln(&answers, call+"from "+fmt.Sprint(since(f))+", without any column "+fmt.Sprint(since(reflect.New(row.Elem().Type()).Method(i).Interface().(func(time.Time) bool))))
			default:
				if f := row.Method(i); strings.HasPrefix(method.Name, "As") {
					assert.Same(t, mixin, f.Call(nil)[0].Interface(), call)
				}
			}
		}
	}
	assert.Equal(t, strings.TrimLeft(whatEachMethodReads, "\n"), typed.ReplaceAllString(answers.String(), "$1"))
}

// since returns the second from which on a method answers yes, or "never".
func since(f func(time.Time) bool) string {
	for second := range int64(100) {
		if !f(time.Unix(second, 0)) {
			continue
		}
		if slices.ContainsFunc([]int64{1, 2, 50}, func(later int64) bool { return !f(time.Unix(second+later, 0)) }) {
			return "now and then"
		}
		return fmt.Sprint(second)
	}
	return "never"
}

// because returns the columns each of which makes a method answer yes.
func because(t *testing.T, mixin any, method string) (columns []string) {
	t.Helper()
	kind := reflect.TypeOf(mixin).Elem()
	ask := func(column string) bool {
		row := reflect.New(kind)
		if column != "" {
			field := row.Elem().FieldByName(column)
			field.SetInt(1)
		}
		return row.MethodByName(method).Interface().(func() bool)()
	}
	require.False(t, ask(""), method)
	for _, field := range reflect.VisibleFields(kind) {
		if field.Type.Kind() == reflect.Int64 && ask(field.Name) {
			columns = append(columns, field.Name)
		}
	}
	return columns
}

// fillDeep gives every column of a row a value, those of embedded structs as well.
func fillDeep(row reflect.Value) {
	for i := range row.NumField() {
		switch field := row.Field(i); {
		case field.Kind() == reflect.String:
			field.SetString(`[{"type":"` + row.Type().Field(i).Name + `"}]`)
		case field.Kind() == reflect.Int64:
			field.SetInt(int64(i + 11))
		case field.Kind() == reflect.Pointer && field.Type().Elem().Kind() == reflect.String:
			name := row.Type().Field(i).Name
			field.Set(reflect.ValueOf(&name))
		case field.Kind() == reflect.Pointer:
			number := int64(i + 11)
			field.Set(reflect.ValueOf(&number))
		case field.Kind() == reflect.Slice && field.Type().Elem().Kind() == reflect.String:
			field.Set(reflect.ValueOf([]string{row.Type().Field(i).Name}))
		case field.Kind() == reflect.Slice: // JSON
			field.SetBytes([]byte(`"` + row.Type().Field(i).Name + `"`))
		case field.Kind() == reflect.Struct:
			fillDeep(field)
		}
	}
}

// A generation of 0 takes no space in a row.
func TestGenerationsOfAGrant(t *testing.T) {
	three := int64(3)
	for _, c := range []struct {
		client, user int64
		want         models.Authorization
	}{
		{0, 0, models.Authorization{}},
		{3, 0, models.Authorization{ClientGeneration: &three}},
		{0, 3, models.Authorization{UserGeneration: &three}},
		{3, 3, models.Authorization{ClientGeneration: &three, UserGeneration: &three}},
	} {
		var got models.Authorization
		got.SetGenerations(c.client, c.user)
		assert.Equal(t, c.want, got)
		assert.Equal(t, []int64{c.client, c.user}, []int64{got.GetClientGeneration(), got.GetUserGeneration()})
	}
	assert.Empty(t, new(models.Authorization).GetSessionID(), "no session")
}

// What is kept in place of a client id, and of a registration access token.
func TestWhatIdentifiesAClient(t *testing.T) {
	for id, want := range map[string][2]string{
		"":                      {"", ""},
		"short":                 {"short", ""},
		strings.Repeat("x", 48): {strings.Repeat("x", 48), ""},
		strings.Repeat("x", 49): {"#VbuYI-aOBfccEFOVuHKDr8huVJ4fHKRZixzHpt0tOsg", strings.Repeat("x", 49)},
	} {
		key, long := models.SplitClientID(id)
		assert.Equal(t, want, [2]string{key, long})
	}
	for _, c := range []struct {
		stored, presented string
		want              bool
	}{{"digest", "digest", true}, {"digest", "other", false}, {"digest", "", false}, {"", "", false}, {"", "digest", false}} {
		assert.Equal(t, c.want, (&models.ClientMixin{RegistrationAccessToken: c.stored}).CheckRegistrationAccessToken(c.presented), c)
	}
}

const whatEachMethodReads = `
AuditMixin.GetClientID LongClientID
AuditMixin.GetCursor 13.AuditKey
AuthorizationCodeMixin.GetACR ACR
AuthorizationCodeMixin.GetAMR AMR
AuthorizationCodeMixin.GetAudience Audience
AuthorizationCodeMixin.GetAuthorizationDetails AuthorizationDetails
AuthorizationCodeMixin.GetClaims Claims
AuthorizationCodeMixin.GetClientGeneration 22
AuthorizationCodeMixin.GetClientID LongClientID
AuthorizationCodeMixin.GetCodeChallenge CodeChallenge
AuthorizationCodeMixin.GetCodeChallengeMethod CodeChallengeMethod
AuthorizationCodeMixin.GetConfirmation Confirmation
AuthorizationCodeMixin.GetGrantID GrantID
AuthorizationCodeMixin.GetIssuer Issuer
AuthorizationCodeMixin.GetNonce Nonce
AuthorizationCodeMixin.GetRedirectURI RedirectURI
AuthorizationCodeMixin.GetResponseType ResponseType
AuthorizationCodeMixin.GetScope Scope
AuthorizationCodeMixin.GetSessionID SessionID
AuthorizationCodeMixin.GetUserGeneration 23
AuthorizationCodeMixin.IsExpired from 21, without any column 0
AuthorizationCodeMixin.IsRedeemed by RedeemedAt
ClientMixin.GetAPIResources [APIResources]
ClientMixin.GetClientID LongClientID
ClientMixin.GetClientName ClientName
ClientMixin.GetClientURI ClientURI
ClientMixin.GetContacts [Contacts]
ClientMixin.GetDefaultRedirectURI RedirectURIs
ClientMixin.GetGeneration 27
ClientMixin.GetGrantTypes [GrantTypes]
ClientMixin.GetJWKs "JWKs"
ClientMixin.GetJWKsURI JWKsURI
ClientMixin.GetLogoURI LogoURI
ClientMixin.GetPolicyURI PolicyURI
ClientMixin.GetRedirectURIs [RedirectURIs]
ClientMixin.GetResponseTypes [ResponseTypes]
ClientMixin.GetScope Scope
ClientMixin.GetSoftwareID SoftwareID
ClientMixin.GetSoftwareVersion SoftwareVersion
ClientMixin.GetTokenEndpointAuthMethod TokenEndpointAuthMethod
ClientMixin.GetTosURI TosURI
ConsentMixin.GetAuthorizationDetails AuthorizationDetails
ConsentMixin.GetClientID LongClientID
DeviceCodeMixin.GetACR ACR
DeviceCodeMixin.GetAMR AMR
DeviceCodeMixin.GetAudience Audience
DeviceCodeMixin.GetAuthorizationDetails AuthorizationDetails
DeviceCodeMixin.GetClaims Claims
DeviceCodeMixin.GetClientGeneration 22
DeviceCodeMixin.GetClientID LongClientID
DeviceCodeMixin.GetConfirmation Confirmation
DeviceCodeMixin.GetGrantID GrantID
DeviceCodeMixin.GetIssuer Issuer
DeviceCodeMixin.GetScope Scope
DeviceCodeMixin.GetSessionID SessionID
DeviceCodeMixin.GetUserGeneration 23
DeviceCodeMixin.IsApproved by ApprovedAt
DeviceCodeMixin.IsDenied by DeniedAt
DeviceCodeMixin.IsExpired from 19, without any column 0
DeviceCodeMixin.IsRedeemed by RedeemedAt
LogoutMixin.GetClientID LongClientID
PushedRequestMixin.GetClientID LongClientID
PushedRequestMixin.GetParameters Parameters
PushedRequestMixin.IsExpired from 15, without any column 0
PushedRequestMixin.IsUsed by UsedAt
SessionMixin.GetClientID LongClientID
TokenMixin.GetACR ACR
TokenMixin.GetAMR AMR
TokenMixin.GetActor Actor
TokenMixin.GetAudience Audience
TokenMixin.GetAuthorizationDetails AuthorizationDetails
TokenMixin.GetClaims Claims
TokenMixin.GetClientGeneration 22
TokenMixin.GetClientID LongClientID
TokenMixin.GetConfirmation Confirmation
TokenMixin.GetExpiresAt 37
TokenMixin.GetExpiresIn 20
TokenMixin.GetGrantID GrantID
TokenMixin.GetGrantedAudience GrantedAudience
TokenMixin.GetGrantedAuthorizationDetails GrantedAuthorizationDetails
TokenMixin.GetGrantedScope GrantedScope
TokenMixin.GetIssuedAt 17
TokenMixin.GetIssuer Issuer
TokenMixin.GetRefreshTokenExpiresAt 25
TokenMixin.GetRefreshedFor RefreshedFor
TokenMixin.GetRotatedAt 24
TokenMixin.GetScope Scope
TokenMixin.GetSessionID SessionID
TokenMixin.GetSuccessorSalt SuccessorSalt
TokenMixin.GetTokenID TokenID
TokenMixin.GetTokenType TokenType
TokenMixin.GetUserGeneration 23
TokenMixin.IsExpired from 37, without any column never
TokenMixin.IsRefreshTokenExpired from 25, without any column never
TokenMixin.IsRefreshTokenRevoked by RefreshTokenRevokedAt
TokenMixin.IsRevoked by AccessTokenRevokedAt or RefreshTokenRevokedAt
UserMixin.GetGeneration 11
`
