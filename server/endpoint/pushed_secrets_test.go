package endpoint_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
)

// Of a pushed request, that by which its client authenticated is not stored.
func TestAPushedRequestIsStoredWithoutItsCredential(t *testing.T) {
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	p := newPushed(t, db, false)
	client := p.NewClient(func(c *oauthtest.Client) { c.ClientMetadata.TokenEndpointAuthMethod = models.ClientSecretPost })
	form := oauthtest.AuthorizeQuery(client, "state=s&client_assertion_type=t&client_secret="+url.QueryEscape(client.Secret))
	answer := p.Post("/oauth/par", nil, form)
	require.Equal(t, http.StatusCreated, answer.Status, answer.Raw)
	var row oauthtest.PushedRequest
	require.NoError(t, db.Last(&row).Error)
	stored, err := url.ParseQuery(row.Parameters)
	require.NoError(t, err)
	assert.Equal(t, url.Values{
		"client_id": {client.ClientID}, "response_type": {"code"}, "code_challenge": {oauthtest.Challenge}, "code_challenge_method": {"S256"}, "state": {"s"},
	}, stored)
}
