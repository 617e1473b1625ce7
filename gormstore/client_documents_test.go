package gormstore_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fetch"
)

// documentClient is a model whose rows can be deleted softly, and blocked.
type documentClient struct {
	ID        uint
	Blocked   bool `gorm:"not null;default:false"`
	DeletedAt gorm.DeletedAt
	models.ClientMixin
}

// documentSite serves one document at every path.
type documentSite struct {
	*httptest.Server
	mu   sync.Mutex
	name string
}

func newDocumentSite(t *testing.T) *documentSite {
	t.Helper()
	s := &documentSite{name: "An app"}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"client_id": s.URL + r.URL.Path, "client_name": s.name, "redirect_uris": []string{oauthtest.RedirectURI}, "grant_types": []string{"authorization_code", "refresh_token"},
		})
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *documentSite) rename(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.name = name
}

// newDocuments is a server that finds clients by their documents, with rows of the model
// by the handle.
func newDocuments(t *testing.T, db, handle *gorm.DB) *oauthtest.Provider {
	t.Helper()
	p := oauthtest.New(t, db, func(c *server.Config) { c.QueryClient = gormoauth.CreateQueryClientFunc[documentClient](handle) })
	documents := gormoauth.CreateMetadataDocuments[documentClient](handle, fetch.New(fetch.Options{AllowPrivateAddresses: true}))
	documents.Scope = "profile email"
	require.NoError(t, p.Server.Register(documents))
	return p
}

// A client of a document stays gone, whoever took it away, and however often its
// document is met again.
func TestADeletedClientOfADocumentStaysGone(t *testing.T) {
	allowed := func(db *gorm.DB) *gorm.DB { return db.Where("blocked = ?", false) }
	testdb.Each(t, append(oauthtest.Models(), &documentClient{}), func(t *testing.T, db *gorm.DB) {
		s := newDocumentSite(t)
		p := newDocuments(t, db, allowed(db))
		registrations, err := gormstore.NewClientRegistration[documentClient, Token](allowed(db))
		require.NoError(t, err)
		prune := gormoauth.CreatePruneFunc[Token, AuthorizationCode](db, registrations)
		signedIn := func(path string) (client *Client, token string) {
			client = &Client{ClientMixin: models.ClientMixin{ClientID: s.URL + path, ClientMetadata: models.ClientMetadata{TokenEndpointAuthMethod: models.None}}}
			a := p.Redeem(client, p.Code(client, "scope=profile"))
			require.Equal(t, http.StatusOK, a.Status, a.Raw)
			return client, a.Body["access_token"]
		}
		row := func(client *Client) (row documentClient) {
			require.NoError(t, db.Unscoped().Where("client_id = ?", models.ClientKey(client.ClientID)).First(&row).Error)
			return row
		}
		update := func(client *Client, column string, value any) {
			require.NoError(t, db.Unscoped().Model(&documentClient{}).Where("client_id = ?", models.ClientKey(client.ClientID)).UpdateColumn(column, value).Error)
		}
		long := "/a/rather/long/path/that/makes/its/address/longer/than/the/column/client.json"
		number := 0
		for rule, take := range map[string]func(*Client){
			"by the library": func(c *Client) {
				emptied := []string{"client_secret", "previous_client_secret", "registration_access_token", "document_validator", "api_resources"}
				for _, column := range emptied {
					update(c, column, column)
				}
				update(c, "client_secret_expires_at", 7)
				update(c, "previous_client_secret_expires_at", 7)
				require.NoError(t, registrations.DeleteClient(oauthtest.Brief(t), c.ClientID, p.Now))
				require.NoError(t, registrations.DeleteClient(oauthtest.Brief(t), c.ClientID, p.Now), "a second time is no error")
				assert.Equal(t, p.Now.Unix(), row(c).ClientDeletedAt)
				mark := row(c)
				assert.Equal(t, models.ClientMetadata{}, mark.ClientMetadata, "a mark says nothing else")
				assert.Empty(t, mark.ClientSecret+mark.PreviousClientSecret+mark.RegistrationAccessToken+mark.DocumentValidator+mark.APIResources)
				assert.Zero(t, mark.ClientSecretExpiresAt+mark.PreviousClientSecretExpiresAt)
			},
			"softly": func(c *Client) {
				require.NoError(t, db.Where("client_id = ?", models.ClientKey(c.ClientID)).Delete(&documentClient{}).Error)
			},
			"softly, and then by the library": func(c *Client) {
				require.NoError(t, db.Where("client_id = ?", models.ClientKey(c.ClientID)).Delete(&documentClient{}).Error)
				require.NoError(t, registrations.DeleteClient(oauthtest.Brief(t), c.ClientID, p.Now))
			},
			"by a condition of the handle": func(c *Client) { update(c, "blocked", true) },
		} {
			for _, path := range []string{"/", long} {
				number++
				path += strconv.Itoa(number)
				client, token := signedIn(path)
				take(client)
				update(client, "unused_expires_at", 1) // as if it had never been used
				for range 2 {
					assert.Equal(t, server.InvalidClient, p.Consent(oauthtest.AuthorizeQuery(client, "")).Body["error"], "%s: %s", rule, path)
					assert.Equal(t, server.InvalidClient, p.Token(client, "grant_type=refresh_token&refresh_token=x").Body["error"], rule)
					require.NoError(t, prune(t.Context(), gormstore.PruneOptions{}))
					row(client) // which is never pruned
				}
				switch rule {
				case "by the library":
					assert.False(t, p.Valid(token), "its tokens end with it")
				case "by a condition of the handle":
					require.NoError(t, registrations.DeleteClient(oauthtest.Brief(t), client.ClientID, p.Now))
					assert.Zero(t, row(client).ClientDeletedAt, "it is not this handle's to delete")
					assert.True(t, p.Valid(token), "nor are its tokens")
				}
			}
		}
		gone, _ := signedIn("/by-sql")
		require.NoError(t, db.Exec("DELETE FROM document_clients WHERE client_id = ?", models.ClientKey(gone.ClientID)).Error)
		signedIn("/by-sql") // what leaves no mark may come again

		kept, _ := signedIn("/blocked-for-a-while")
		update(kept, "blocked", true)
		assert.Equal(t, server.InvalidClient, p.Consent(oauthtest.AuthorizeQuery(kept, "")).Body["error"])
		update(kept, "blocked", false)
		assert.Equal(t, http.StatusOK, p.Consent(oauthtest.AuthorizeQuery(kept, "")).Status, "the operator lets it in again")
	})
}

// Of a client whose id is nobody else's to give nothing stays: it cannot come again.
func TestADeletedClientThatCannotComeAgainLeavesNoMark(t *testing.T) {
	testdb.Each(t, append(oauthtest.Models(), &documentClient{}), func(t *testing.T, db *gorm.DB) {
		registrations, err := gormstore.NewClientRegistration[documentClient, Token](db)
		require.NoError(t, err)
		now := time.Unix(1_800_000_000, 0)
		rows := func() (rows int64) {
			require.NoError(t, db.Unscoped().Model(&documentClient{}).Count(&rows).Error)
			return rows
		}
		register := func(id string, unused int64) {
			require.NoError(t, registrations.SaveClient(t.Context(), &models.ClientMixin{ClientID: id, ClientSource: models.ClientByRegistration, UnusedExpiresAt: unused}, nil))
		}
		register("ABC", 0)
		require.NoError(t, registrations.DeleteClient(oauthtest.Brief(t), "ABC", now))
		assert.Zero(t, rows())

		register("unused", 1)
		register("unused-and-deleted", 1)
		require.NoError(t, db.Where("client_id = ?", "unused-and-deleted").Delete(&documentClient{}).Error)
		prune := gormoauth.CreatePruneFunc[Token, AuthorizationCode](db, registrations)
		require.NoError(t, prune(t.Context(), gormstore.PruneOptions{}))
		assert.EqualValues(t, 1, rows(), "what is pruned is unused, and was not deleted")
	})
}

// A document that changes is an update like any other (RFC 7592): one entry in the trail,
// whichever of several instances meets it first, and none where it has not changed.
func TestTheTrailTellsOfDocumentsThatChange(t *testing.T) {
	testdb.Each(t, append(oauthtest.Models(), &documentClient{}), func(t *testing.T, db *gorm.DB) {
		with, err := gormoauth.WithAudit[Audit](db)
		require.NoError(t, err)
		s := newDocumentSite(t)
		p := newDocuments(t, with, with)
		client := &Client{ClientMixin: models.ClientMixin{ClientID: s.URL + "/app", ClientMetadata: models.ClientMetadata{TokenEndpointAuthMethod: models.None}}}
		require.Equal(t, http.StatusOK, p.Redeem(client, p.Code(client, "")).Status)
		updates := func() (entries []Audit) {
			require.NoError(t, db.Where("event = ?", models.AuditClientUpdated).Order("id").Find(&entries).Error)
			return entries
		}
		again := func() {
			p.Now = p.Now.Add(25 * time.Hour)
			others := make([]*oauthtest.Provider, 4) // each remembers what it has fetched by itself
			for i := range others {
				others[i] = newDocuments(t, with, with)
				others[i].Now = p.Now
			}
			race(len(others), func(i int) bool {
				return assert.Equal(t, http.StatusOK, others[i].Consent(oauthtest.AuthorizeQuery(client, "")).Status)
			})
		}
		again()
		assert.Empty(t, updates(), "it is the same")
		s.rename("Another app")
		again()
		entries := updates()
		require.Len(t, entries, 1)
		assert.Equal(t, client.ClientID, entries[0].GetClientID())
		assert.Equal(t, "authorization", entries[0].Endpoint, "who met it, and where")
		assert.Equal(t, address, entries[0].RemoteAddress)
		again()
		assert.Len(t, updates(), 1)
		var row documentClient
		require.NoError(t, db.First(&row).Error)
		assert.Equal(t, "Another app", row.GetClientName())
		assert.Equal(t, p.Now.Unix(), row.DocumentFetchedAt)
		assert.Equal(t, p.Now.Add(time.Hour).Unix(), row.DocumentExpiresAt)
	})
}

// What the operator has taken over is the operator's: its document says nothing any more.
func TestAClientOfADocumentIsTakenOver(t *testing.T) {
	testdb.Each(t, append(oauthtest.Models(), &documentClient{}), func(t *testing.T, db *gorm.DB) {
		s := newDocumentSite(t)
		p := newDocuments(t, db, db)
		client := &Client{ClientMixin: models.ClientMixin{ClientID: s.URL + "/app", ClientMetadata: models.ClientMetadata{TokenEndpointAuthMethod: models.None}}}
		require.Equal(t, http.StatusOK, p.Redeem(client, p.Code(client, "")).Status)
		factory := gormoauth.CreateClientFactory[documentClient](db, p.Server)
		secret, err := factory.Update(t.Context(), client.ClientID, models.ClientMetadata{
			ClientName: "Ours", TokenEndpointAuthMethod: models.None, RedirectURIs: []string{oauthtest.RedirectURI},
		})
		require.NoError(t, err)
		assert.Empty(t, secret)
		s.rename("Theirs")
		p.Now = p.Now.Add(100 * time.Hour)
		found, err := p.Server.QueryClient(t.Context(), client.ClientID)
		require.NoError(t, err)
		assert.Equal(t, "Ours", found.(*documentClient).GetClientName())
		assert.Equal(t, models.ClientByHand, found.(*documentClient).ClientSource)
	})
}
