package gormstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/internal/underway"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientauth"
	"github.com/gormoauth/gormoauth/server/finding"
	"github.com/gormoauth/gormoauth/server/storage"
)

// An address or a name in a row that no client may have is named, with its client.
func TestBadAddressesAndNamesAreFound(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		row := func(id, source string, metadata models.ClientMetadata) Client {
			return Client{ClientMixin: models.ClientMixin{ClientID: id, ClientSource: source, ClientMetadata: metadata}}
		}
		uris := func(uris ...string) models.ClientMetadata { return models.ClientMetadata{RedirectURIs: uris} }
		extra := func(member, value string) models.ClientMetadata {
			return models.ClientMetadata{Extra: map[string]json.RawMessage{member: json.RawMessage(value)}}
		}
		good := []Client{
			row("good-1", "", uris("https://app.example/cb", "myapp:/cb")), row("good-2", models.ClientByRegistration, uris("cursor://x/cb")),
			row("good-3", models.ClientByHand, extra("client_name#ja", `"アプリ"`)),
		}
		require.NoError(t, db.Create(&good).Error)
		assert.Empty(t, diagnosed(t, db))

		many := make([]Client, 1100) // more than one look takes
		for i := range many {
			many[i] = row(fmt.Sprintf("k-%04d", i), "", uris("https://app.example/cb"))
		}
		many[1099].ClientMetadata = uris("javascript:alert(1)")
		require.NoError(t, db.CreateInBatches(&many, 100).Error)
		one := diagnosed(t, db)["client_metadata table clients"]
		assert.Equal(t, finding.Warning, one.Severity)
		assert.Contains(t, one.Problem, `in 1 of its rows: "k-1099": redirect_uris: "javascript:alert(1)" has a scheme that starts programs or scripts`)
		require.NoError(t, db.Where("client_id LIKE 'k-%'").Delete(&Client{}).Error)

		for want, bad := range map[string]Client{
			`policy_uri#ja: "javascript:alert(1)"`:                                                  row("a", "", extra("policy_uri#ja", `"javascript:alert(1)"`)),
			`frontchannel_logout_uri: "https://[::1%25%20;script-src%20'unsafe-inline'%20;x]/" has`: row("b", "", extra("frontchannel_logout_uri", `"https://[::1%25%20;script-src%20'unsafe-inline'%20;x]/"`)),
			`post_logout_redirect_uris: "data:x"`:                                                   row("c", "", extra("post_logout_redirect_uris", `["https://app.example/","data:x"]`)),
			`redirect_uris: "https://аpple.com/cb" has a character that is not ASCII`:               row("d", "", uris("https://аpple.com/cb")),
			`redirect_uris: "myapp:/cb" has a private-use scheme without a dot`:                     row("e", models.ClientByDocument, uris("myapp:/cb")),
			`client_name: "a\u202eb" has the character U+202E`:                                      row("f", "", models.ClientMetadata{ClientName: "a\u202eb"}),
			`jwks: "EC P-256" has a private or symmetric key`: row("h", "", models.ClientMetadata{JWKs: json.RawMessage(
				`{"keys":[{"kty":"AKP","kid":"a"},{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}]}`)}),
			`jwks: "OKP X25519" has no key that the server supports`:                            row("i", "", models.ClientMetadata{JWKs: json.RawMessage(`{"keys":[{"kty":"OKP","crv":"X25519","x":"AAAA"}]}`)}),
			`jwks: is not a JSON Web Key Set`:                                                   row("j", "", models.ClientMetadata{JWKs: json.RawMessage(`{}`)}),
			`client_name#ja: "` + strings.Repeat("a", 100) + `…" is longer than 100 characters`: row("g", "", extra("client_name#ja", `"`+strings.Repeat("a", 5000)+`"`)),
		} {
			require.NoError(t, db.Create(&bad).Error)
			finding := diagnosed(t, db)["client_metadata table clients"]
			assert.Contains(t, finding.Problem, fmt.Sprintf("in 1 of its rows: %q: %s", bad.ClientID, want))
			assert.Less(t, len(finding.Problem), 1000)
			require.NoError(t, db.Delete(&bad).Error)
		}
		assert.Empty(t, diagnosed(t, db))

		srv, err := server.New(server.Config{
			Issuer: "https://id.example", PrivateUseSchemes: []string{"myapp"}, QueryClient: func(context.Context, string) (storage.Client, error) { return nil, nil },
			SaveToken: func(context.Context, storage.Exchange) error { return nil }, ClientAuthMethods: clientauth.Defaults(),
		})
		require.NoError(t, err)
		own := row("own", models.ClientByRegistration, uris("myapp:/cb"))
		require.NoError(t, db.Create(&own).Error)
		assert.Contains(t, diagnose(t, db, allModels...).String(), "myapp")
		findings := gormstore.DiagnoseFor(t.Context(), srv, db, allModels...)
		oauthtest.KnowFindings(t, findings)
		text := findings.String()
		assert.NotContains(t, text, "myapp", "the server takes that scheme")
		assert.Contains(t, text, "cursor:", "and no other")
	})
}

// A member of a row that has two readings is named, with its client, which goes on.
func TestIgnoredMembersAreFound(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		store := func(id, metadata string) {
			t.Helper()
			client := Client{ClientMixin: models.ClientMixin{ClientID: id}}
			require.NoError(t, db.Create(&client).Error)
			require.NoError(t, db.Model(&client).UpdateColumn("client_metadata", gorm.Expr("?", metadata)).Error)
		}
		store("good", `{"redirect_uris":["https://app.example/cb"],"jwks":null,"x":{"y":[1]}}`)
		store("none", "")
		assert.Empty(t, diagnosed(t, db))

		for want, metadata := range map[string]string{
			`"grant_typeſ" is not the name of a known member`: `{"redirect_uris":["https://app.example/cb"],"grant_typeſ":["client_credentials"]}`,
			`"Scope" is not the name of a known member`:       `{"redirect_uris":["https://app.example/cb"],"Scope":"admin"}`,
			`"scope" is given twice`:                          `{"redirect_uris":["https://app.example/cb"],"scope":"a","scope":"admin"}`,
			`"scope" has the wrong JSON type`:                 `{"redirect_uris":["https://app.example/cb"],"scope":["a"]}`,
			`"x" is given twice`:                              `{"redirect_uris":["https://app.example/cb"],"x":{"y":1,"y":2}}`,
			`"x" is longer than`:                              `{"redirect_uris":["https://app.example/cb"],"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
		} {
			store("old", metadata)
			found := diagnosed(t, db)
			assert.Len(t, found, 1)
			assert.Equal(t, finding.Warning, found["client_metadata_ignored table clients"].Severity)
			assert.Contains(t, found["client_metadata_ignored table clients"].Problem, `in 1 of its rows: "old": `+want, metadata)

			client, err := gormoauth.CreateQueryClientFunc[Client](db)(t.Context(), "old")
			require.NoError(t, err)
			stored := client.(*Client).ClientMetadata
			assert.Equal(t, models.ClientMetadata{RedirectURIs: []string{"https://app.example/cb"}}, stored, "the client goes on")
			require.NoError(t, db.Where("client_id = ?", "old").Delete(&Client{}).Error)
		}

		store("odd", `not JSON`)
		found := diagnosed(t, db)
		assert.Equal(t, finding.Grave, found["client_metadata_unreadable table clients"].Severity)
		assert.Contains(t, found["client_metadata_unreadable table clients"].Problem, `"odd"`)
	})
}

// The doctor names clients whose secret says nothing, or something that is not known, before
// one of them is refused.
func TestSecretsOfUnknownFormsAreNamed(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		for id, secret := range map[string]string{
			"ours": models.HashClientSecret("x"), "derived": models.DerivedClientSecret("nonce"), "public": "", "plain": "old secret",
			"hex": strings.Repeat("0f", 32), "django": "pbkdf2_sha256$600000$salt$aGFzaA==",
		} {
			require.NoError(t, db.Create(&Client{ClientMixin: models.ClientMixin{ClientID: id, ClientSecret: secret}}).Error)
		}
		found := diagnosed(t, db)
		for check, says := range map[string]string{"plaintext table clients": "in 1 of its rows", "hexadecimal_secrets table clients": `"hex"`, "unknown_secrets table clients": `"django"`} {
			assert.Contains(t, found[check].Problem, says, check)
		}
	})
}

// An ending that was interrupted is named, and one that is over is not.
func TestAnUnfinishedEndIsFound(t *testing.T) {
	testdb.Each(t, allModels, func(t *testing.T, db *gorm.DB) {
		for id, ended := range map[string]int64{"half": 1, "whole": 2} {
			require.NoError(t, db.Create(&Client{ClientMixin: models.ClientMixin{ClientID: id, Generation: 2, EndedGeneration: ended}}).Error)
		}
		one := diagnosed(t, db)["unfinished_end table clients"]
		assert.Equal(t, finding.Warning, one.Severity)
		assert.Contains(t, one.Problem, `in 1 of its rows: "half"`)
		_, err := gormstore.NewClients[Client](db) // as a program has it
		require.NoError(t, err)
		tokens, err := gormstore.NewTokens[Token](db)
		require.NoError(t, err)
		require.NoError(t, tokens.RevokeClient(underway.Shorten(t.Context(), 0), "half", time.Now()))
		assert.NotContains(t, diagnosed(t, db), "unfinished_end table clients")
	})
}
