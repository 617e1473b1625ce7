package storetest

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Registrations tests the models C of clients and T of tokens with clients that register
// themselves, or that have a metadata document. C must not have a required column that
// such a client cannot fill.
func Registrations[C, T any, PC gormstore.ClientModel[C], PT gormstore.TokenModel[T]]() Part {
	return Part{
		name: "registrations",
		assemble: func(t testing.TB, in *instance) {
			t.Helper()
			registrations := must(gormstore.NewClientRegistration[C, T, PC, PT](in.db))(t)
			in.keeps(registrations)
			in.registrations = registrations
			in.documents = must(gormstore.NewClientDocuments[C, PC](in.db))(t)
		},
		test: func(k *kit, t *testing.T) { k.registrations(t) },
	}
}

// registrations: of several updates that replace the same registration access token, one succeeds; an update
// that changes nothing succeeds; a client that is never used is pruned; and ids of any length are distinguished.
func (k *kit) registrations(t *testing.T) {
	_, in := k.racing(t)
	now := time.Now()
	registered := func(unused time.Time) *models.ClientMixin {
		record := &models.ClientMixin{
			ClientID: rand.Text(), ClientIDIssuedAt: now.Unix(), ClientSource: models.ClientByRegistration,
			RegistrationAccessToken: secret.Digest(rand.Text()), UnusedExpiresAt: unused.Unix(),
			ClientMetadata: models.ClientMetadata{TokenEndpointAuthMethod: models.None, ClientName: oddText},
		}
		check(t, in(0).registrations.SaveClient(t.Context(), record, &server.Request{}))
		return record
	}
	known := func(i int, clientID string) *models.ClientMixin {
		found, err := in(i).queryClient(t.Context(), clientID)
		check(t, err)
		if found == nil {
			return nil
		}
		return found.(storage.RegisteredClient).AsClientMixin()
	}

	t.Run("one of many updates happens", func(t *testing.T) {
		for round := range rounds {
			old := registered(now.Add(time.Hour))
			won := 0
			for _, updated := range race(k, 4, func(i int) bool {
				record := *old
				record.RegistrationAccessToken = secret.Digest(rand.Text())
				updated, err := in(round+i).registrations.UpdateClient(t.Context(), old, &record)
				check(t, err)
				return updated
			}) {
				if updated {
					won++
				}
			}
			if won != 1 {
				t.Fatalf("%d updates with the same registration access token succeeded", won)
			}
		}
	})
	t.Run("an update that changes nothing is made", func(t *testing.T) {
		old := registered(now.Add(time.Hour))
		for i := range 2 {
			if updated, err := in(i).registrations.UpdateClient(t.Context(), old, old); err != nil || !updated {
				t.Fatalf("updated: %v, %v", updated, err)
			}
		}
	})
	t.Run("a client that is never used leaves", func(t *testing.T) {
		unused, kept := registered(now.Add(-time.Hour)), registered(now.Add(-time.Hour))
		check(t, in(0).registrations.KeepClient(t.Context(), kept.ClientID))
		check(t, in(0).prune(t.Context(), gormstore.PruneOptions{}))
		if known(1, unused.ClientID) != nil {
			t.Error("a client that was never used was not pruned")
		}
		if known(1, kept.ClientID) == nil {
			t.Error("a client in use was pruned")
		}
	})
	t.Run("a client of a document", func(t *testing.T) {
		address := "https://client.example/" + rand.Text() + rand.Text() + "/client.json"
		for i, id := range []string{address, address + "2"} {
			record := &models.ClientMixin{ClientSource: models.ClientByDocument, ClientIDIssuedAt: now.Unix(), DocumentFetchedAt: now.Unix()}
			record.ClientID, record.LongClientID = models.SplitClientID(id)
			record.ClientMetadata.ClientName = id
			race(k, 4, func(i int) error { // several instances see the client for the first time at once
				err := in(i).documents.SaveDocumentClient(t.Context(), record)
				if err != nil {
					t.Error(err)
				}
				return err
			})
			found := known(i, id)
			if found == nil || found.GetClientID() != id || found.ClientMetadata.ClientName != id {
				t.Fatalf("the client %s is read back as %+v", id, found)
			}
		}
		if known(0, models.ClientKey(address)) != nil {
			t.Error("a client is found by the digest of its id")
		}
	})
	t.Run("a client of a document that was deleted stays gone", func(t *testing.T) {
		for _, id := range []string{"https://client.example/" + rand.Text(), "https://client.example/a/longer/path/" + rand.Text() + rand.Text()} {
			record := &models.ClientMixin{ClientSource: models.ClientByDocument, ClientIDIssuedAt: now.Unix(), DocumentFetchedAt: now.Unix(), DocumentExpiresAt: now.Unix()}
			record.ClientID, record.LongClientID = models.SplitClientID(id)
			hidden := func(i int) bool {
				hidden, err := in(i).documents.HidesClient(t.Context(), id)
				check(t, err)
				return hidden
			}
			if hidden(0) {
				t.Fatalf("the client %s is hidden before there is one", id)
			}
			check(t, in(0).documents.SaveDocumentClient(t.Context(), record))
			later := *record
			later.DocumentFetchedAt, later.DocumentExpiresAt, later.ClientMetadata.ClientName = now.Unix()+1, now.Unix()+61, "Later"
			race(k, 4, func(i int) error { // several instances have fetched it at once
				err := in(i).documents.UpdateDocumentClient(t.Context(), record, &later)
				if err != nil {
					t.Error(err)
				}
				return err
			})
			if found := known(1, id); found == nil || found.ClientMetadata.ClientName != "Later" || found.DocumentExpiresAt != later.DocumentExpiresAt {
				t.Fatalf("the client %s is read back as %+v", id, found)
			}
			race(k, 2, func(i int) error {
				err := in(i).registrations.DeleteClient(brief(), id, now)
				if err != nil {
					t.Error(err)
				}
				return err
			})
			check(t, in(1).documents.UpdateDocumentClient(t.Context(), &later, &later))
			check(t, in(1).documents.SaveDocumentClient(t.Context(), record))
			check(t, in(0).prune(t.Context(), gormstore.PruneOptions{}))
			if known(1, id) != nil {
				t.Errorf("the client %s is found after it was deleted", id)
			}
			if !hidden(1) {
				t.Errorf("the client %s left no mark", id)
			}
		}
	})
}
