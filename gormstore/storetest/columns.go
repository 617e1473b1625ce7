package storetest

import (
	"crypto/rand"
	"reflect"
	"slices"
	"testing"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/storage"
)

// oddText is text that a database may corrupt: quotes, and characters of two to four
// bytes.
const oddText = `ünï字🙂"'\%_`

// columns: every column of the mixins is read back as it was stored. A column that is
// shadowed, too short, too narrow or of the wrong character set is not.
func (k *kit) columns(t *testing.T) {
	for _, in := range k.instances(t) { // each by the settings of its own connections
		k.columnsOn(t, in)
	}
}

func (k *kit) columnsOn(t *testing.T, in *instance) {
	t.Helper()
	request := &server.Request{User: k.user}

	t.Run("token", func(t *testing.T) {
		stored := &models.TokenMixin{}
		fill(stored)
		check(t, in.tokens.Save(t.Context(), storage.Exchange{Kind: storage.ExchangeIssue, Token: stored, User: k.user}))
		found, err := in.tokens.Query(t.Context(), storage.TokenQuery{AccessToken: stored.AccessToken})
		check(t, err)
		if found == nil {
			t.Fatal("the token is not found by its digest")
		}
		same(t, stored, found.Token.(interface{ AsTokenMixin() *models.TokenMixin }).AsTokenMixin())
		if found.UserID != k.user.GetUserID() {
			t.Errorf("the user of the token is %q, want %q", found.UserID, k.user.GetUserID())
		}
		again := *stored
		if err := in.tokens.Save(t.Context(), storage.Exchange{Kind: storage.ExchangeIssue, Token: &again, User: k.user}); err == nil {
			t.Error("two tokens with the same digest were stored: the unique index on access_token is missing")
		}
	})
	t.Run("token of a client that acts for itself", func(t *testing.T) {
		stored := &models.TokenMixin{Authorization: models.Authorization{ClientID: "itself"}, AccessToken: rand.Text()}
		check(t, in.tokens.Save(t.Context(), storage.Exchange{Kind: storage.ExchangeIssue, Token: stored}))
		found, err := in.tokens.Query(t.Context(), storage.TokenQuery{AccessToken: stored.AccessToken})
		check(t, err)
		if found == nil || found.UserID != "" {
			t.Errorf("a token without a user is read back as %+v", found)
		}
	})
	t.Run("authorization code", func(t *testing.T) {
		stored := &models.AuthorizationCodeMixin{}
		fill(stored)
		check(t, in.codes.Save(t.Context(), stored, request))
		found, err := in.codes.Query(t.Context(), stored.Code)
		check(t, err)
		if found == nil {
			t.Fatal("the code is not found by its digest")
		}
		same(t, stored, found.AuthorizationCode.(interface {
			AsAuthorizationCodeMixin() *models.AuthorizationCodeMixin
		}).AsAuthorizationCodeMixin())
		again := *stored
		if err := in.codes.Save(t.Context(), &again, request); err == nil {
			t.Error("two codes with the same digest were stored: the unique index on code is missing")
		}
	})
	t.Run("client", func(t *testing.T) {
		metadata := models.ClientMetadata{
			ClientName: oddText, ClientURI: "https://client.example/%C3%BC", Contacts: []string{oddText},
			RedirectURIs: []string{redirectURI, redirectURI + "/2"}, Scope: "profile email",
			GrantTypes: []string{"authorization_code"}, ResponseTypes: []string{"code"},
			TokenEndpointAuthMethod: models.ClientSecretPost,
		}
		c := k.newClient(t, in.db, metadata)
		found, err := in.queryClient(t.Context(), c.id)
		check(t, err)
		if found == nil {
			t.Fatal("the client is not found")
		}
		got := found.(interface{ AsClientMixin() *models.ClientMixin }).AsClientMixin().ClientMetadata
		if got.ClientName != oddText || len(got.Contacts) != 1 || got.Contacts[0] != oddText || len(got.RedirectURIs) != 2 {
			t.Errorf("the metadata is read back as %+v", got)
		}
	})
}

// fill gives each field of a mixin a different value: strings as long as the longest that
// the server stores there, and times after 2038.
func fill(mixin gormstore.Described) {
	const digestLength, late = 64, 1 << 33
	v, about := reflect.ValueOf(mixin).Elem(), mixin.DescribeTable()
	for i, f := range columnsOf(v.Type()) {
		text := f.Name + " " + oddText
		switch {
		case slices.Contains(about.Digests, f.Name):
			text = (rand.Text() + rand.Text() + rand.Text())[:digestLength]
		case slices.Contains([]string{"ClientID", "TokenType", "CodeChallengeMethod"}, f.Name):
			text = rand.Text()
		}
		switch value := v.FieldByIndex(f.Index).Addr().Interface().(type) {
		case *string:
			*value = text
		case **string:
			*value = &text
		case *int64:
			*value = late + int64(i)
		}
	}
}

// columnsOf returns the fields of a mixin that are columns, including those of embedded
// structs.
func columnsOf(mixin reflect.Type) []reflect.StructField {
	return slices.DeleteFunc(reflect.VisibleFields(mixin), func(f reflect.StructField) bool { return f.Anonymous || f.Tag.Get("gorm") == "-" })
}

// same compares two mixins field by field.
func same(t *testing.T, stored, found any) {
	t.Helper()
	want, got := reflect.ValueOf(stored).Elem(), reflect.ValueOf(found).Elem()
	for _, f := range columnsOf(want.Type()) {
		want, got := want.FieldByIndex(f.Index), got.FieldByIndex(f.Index)
		if !reflect.DeepEqual(want.Interface(), got.Interface()) {
			t.Errorf("%s was stored as %v but is read back as %v", f.Name, reflect.Indirect(want), reflect.Indirect(got))
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
