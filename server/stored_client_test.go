package server_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// What a row says that does not exist on this server means nothing: the client goes on
// with the rest.
func TestWhatARowSaysThatDoesNotExistMeansNothing(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		p := oauthtest.New(t, db)
		odd := p.StoreClient(func(c *oauthtest.Client) {
			c.ClientMetadata.GrantTypes = append(c.ClientMetadata.GrantTypes, "magic", "client_credentialſ", "")
			c.ClientMetadata.ResponseTypes = append(c.ClientMetadata.ResponseTypes, "magic", "code magic", "")
			c.ClientMetadata.Extra = map[string]json.RawMessage{
				"grant_types": json.RawMessage(`["client_credentials"]`), "require_magic": json.RawMessage("true"), "id_token_signed_response_alg": json.RawMessage("1"),
			}
		})
		assert.Equal(t, http.StatusOK, p.Redeem(odd, p.Code(odd, "")).Status)
		assert.Equal(t, server.UnsupportedGrantType, p.Token(odd, "grant_type=magic").Body["error"])
		assert.Equal(t, server.UnauthorizedClient, p.Token(odd, "grant_type=client_credentials").Body["error"])
		for _, responseType := range []string{"magic", "code magic", "magic code"} {
			a := p.Consent("response_type=" + queryEscape(responseType) + "&client_id=" + odd.ClientID)
			assert.Equal(t, server.UnsupportedResponseType, a.Query.Get("error"), responseType)
		}
		for _, method := range []string{"magic", "client_secret_baſic", "NONE", models.ClientSecretJWT} {
			locked := p.StoreClient(func(c *oauthtest.Client) { c.ClientMetadata.TokenEndpointAuthMethod = method })
			for _, as := range []string{models.ClientSecretBasic, models.ClientSecretPost, models.None} {
				tried := *locked
				tried.ClientMetadata.TokenEndpointAuthMethod = as
				if as == models.None {
					tried.Secret = ""
				}
				a := p.Token(&tried, "grant_type=authorization_code&code=x")
				assert.Equal(t, server.InvalidClient, a.Body["error"], "%s as %s: %s", method, as, a.Raw)
			}
		}
	})
}
