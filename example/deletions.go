package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
)

// deletions deletes clients that are marked as deleted. It takes some seconds until requests that
// were in progress are over, so it happens in the background.
type deletions struct{ waiting chan struct{} }

func newDeletions() deletions { return deletions{make(chan struct{}, 1)} }

// wake starts a run if none is pending.
func (d deletions) wake() {
	select {
	case d.waiting <- struct{}{}:
	default: // a run is pending
	}
}

const deletionPause = time.Minute

// run deletes marked clients, including those of an earlier start, until the context ends.
func (d deletions) run(ctx context.Context, db *gorm.DB, log *slog.Logger) {
	db = db.WithContext(ctx)
	for {
		var clients []Client
		err := db.Where("client_deleted_at > 0 AND client_id NOT LIKE ?", "%://%").Find(&clients).Error // the row of a client with a metadata document stays, as a mark
		if err == nil {
			err = deleteClients(ctx, db, clients)
		}
		var again <-chan time.Time // never, if nothing is left to do
		if err != nil && ctx.Err() == nil {
			log.Error("clients that were deleted are still there", "error", err)
			again = time.After(deletionPause)
		}
		select {
		case <-ctx.Done():
			return
		case <-d.waiting:
		case <-again:
		}
	}
}

// deleteClients deletes clients and everything that was issued to them, a few at a time.
func deleteClients(ctx context.Context, db *gorm.DB, clients []Client) error {
	registrations, err := gormstore.NewClientRegistration[Client, Token](db)
	if err != nil {
		return err
	}
	const atOnce = 4 // each mostly waits
	var group sync.WaitGroup
	turns, faults := make(chan struct{}, atOnce), make([]error, len(clients))
	for i := range clients {
		turns <- struct{}{}
		group.Go(func() {
			defer func() { <-turns }()
			faults[i] = registrations.DeleteClient(ctx, clients[i].GetClientID(), time.Now())
		})
	}
	group.Wait()
	return errors.Join(faults...)
}
