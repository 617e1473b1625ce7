package clientrules_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/internal/clientrules"
	"github.com/gormoauth/gormoauth/models"
)

func TestWhereAClientComesFrom(t *testing.T) {
	for _, c := range []struct {
		client models.ClientMixin
		want   [2]bool
	}{ // whether it registered itself, and whether it made itself
		{models.ClientMixin{ClientSource: models.ClientByRegistration}, [2]bool{true, true}},
		{models.ClientMixin{ClientSource: models.ClientByDocument}, [2]bool{true, true}},
		{models.ClientMixin{ClientSource: models.ClientByHand}, [2]bool{false, false}},
		{models.ClientMixin{ClientSource: models.ClientByHand, RegistrationAccessToken: "a"}, [2]bool{false, false}},
		{models.ClientMixin{RegistrationAccessToken: "a"}, [2]bool{true, false}},
		{models.ClientMixin{}, [2]bool{false, false}},
	} {
		assert.Equal(t, c.want, [2]bool{clientrules.RegisteredItself(&c.client), clientrules.IsSelfMade(&c.client)}, c.client)
	}
	assert.Equal(t, [2]bool{}, [2]bool{clientrules.RegisteredItself(nil), clientrules.IsSelfMade(nil)}, "a model that does not tell")
}

func TestWhatAResponseTypeIssues(t *testing.T) {
	assert.Equal(t, [][2]string{{"code", "authorization_code"}, {"token", "implicit"}}, clientrules.ResponseTypes())
	for responseType, want := range map[string][2]bool{ // a code, and a token
		"code": {true, false}, "token": {false, true}, "id_token": {false, true}, "code id_token": {true, true}, "code token": {true, true},
		"none": {false, false}, "": {false, false}, "codetoken": {false, false},
	} {
		assert.Equal(t, want, [2]bool{clientrules.Issues("code")(responseType), clientrules.Issues("token")(responseType)}, responseType)
	}
}

func TestIsScope(t *testing.T) {
	for c := range 256 {
		want := c >= 0x20 && c <= 0x7e && c != '"' && c != '\\'
		assert.Equal(t, want, clientrules.IsScope("a"+string([]byte{byte(c)})), "%#x", c)
	}
	assert.True(t, clientrules.IsScope(""))
}
