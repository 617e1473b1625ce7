package gormstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/oidc"
	"github.com/gormoauth/gormoauth/server/storage"
)

// On PostgreSQL an error ends the transaction. A key that another row has is no error in
// the program's own: it goes on, and commits.
func TestADuplicateLeavesTheProgramsTransactionAlone(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		now := time.Unix(1_700_000_000, 0)
		user := storage.UserID("1")
		replays, err := gormstore.NewReplays[oauthtest.Replay](db)
		require.NoError(t, err)
		devices, err := gormstore.NewDeviceCodes[oauthtest.DeviceCode](db)
		require.NoError(t, err)
		consents, err := gormstore.NewConsents[oauthtest.Consent, oauthtest.Token, oauthtest.AuthorizationCode](db)
		require.NoError(t, err)
		sessions, err := gormstore.NewSessions[oauthtest.Session, oauthtest.Logout, oauthtest.Token, oauthtest.AuthorizationCode](db)
		require.NoError(t, err)
		registrations, err := gormstore.NewClientRegistration[oauthtest.Client, oauthtest.Token](db)
		require.NoError(t, err)
		documents, err := gormstore.NewClientDocuments[oauthtest.Client](db)
		require.NoError(t, err)

		const document = "https://app.example/client.json"
		documentID, longID := models.SplitClientID(document)
		for name, do := range map[string]func(ctx context.Context, code string) (fresh bool){
			"first use": func(ctx context.Context, _ string) bool {
				first, err := replays.FirstUse(ctx, "an assertion", now.Add(time.Hour))
				require.NoError(t, err)
				return first
			},
			"device code": func(ctx context.Context, code string) bool {
				err := devices.SaveDeviceCode(ctx, &models.DeviceCodeMixin{DeviceCode: code, UserCode: "typed", ExpiresAt: now.Add(time.Hour).Unix()}, nil)
				if err != nil {
					require.ErrorIs(t, err, storage.ErrTaken)
				}
				return err == nil
			},
			"consent": func(ctx context.Context, _ string) bool {
				saved, err := consents.SaveConsent(ctx, nil, &models.ConsentMixin{ClientID: "c", Scope: "profile", Revision: 1}, user)
				require.NoError(t, err)
				return saved
			},
			"ended session": func(ctx context.Context, _ string) bool {
				joined, err := sessions.JoinSession(ctx, &models.SessionMixin{SessionID: "s", ClientID: "c", SID: "sid", StartedAt: now.Unix(), ExpiresAt: now.Add(time.Hour).Unix()}, user)
				require.NoError(t, err)
				_, err = sessions.EndSession(ctx, oidc.SessionEnd{SessionID: "s", Time: now, Revokes: func(string) bool { return true }})
				require.NoError(t, err)
				return joined
			},
			"registration": func(ctx context.Context, code string) bool {
				err := registrations.SaveClient(ctx, &models.ClientMixin{ClientID: "registered", RegistrationAccessToken: code}, nil)
				if err != nil {
					require.ErrorIs(t, err, storage.ErrTaken)
				}
				return err == nil
			},
			"document": func(ctx context.Context, _ string) bool {
				require.NoError(t, documents.SaveDocumentClient(ctx, &models.ClientMixin{ClientID: documentID, LongClientID: longID, ClientSource: models.ClientByDocument}))
				return false
			},
		} {
			t.Run(name, func(t *testing.T) {
				do(t.Context(), "one "+name)
				require.NoError(t, db.Transaction(func(tx *gorm.DB) error {
					ctx := gormstore.WithTransaction(t.Context(), tx)
					assert.False(t, do(ctx, "two "+name))
					first, err := replays.FirstUse(ctx, name, now)
					assert.True(t, first)
					return err
				}))
				first, err := replays.FirstUse(t.Context(), name, now)
				require.NoError(t, err)
				assert.False(t, first, "what the program did beside it was committed")
			})
		}
	})
}
