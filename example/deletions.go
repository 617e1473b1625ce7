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

// deletions are of clients that are marked as deleted. It takes some seconds until nothing
// can come of a request that was under way any more, for which nobody waits.
type deletions struct{ waiting chan struct{} }

func newDeletions() deletions { return deletions{make(chan struct{}, 1)} }

// wake tells that there is something to do.
func (d deletions) wake() {
	select {
	case d.waiting <- struct{}{}:
	default: // it was told before
	}
}

const deletionPause = time.Minute

// run deletes the clients that are marked, also those of an earlier start, until the context
// ends.
func (d deletions) run(ctx context.Context, db *gorm.DB, log *slog.Logger) {
	db = db.WithContext(ctx)
	for {
		var clients []Client
		err := db.Where("client_deleted_at > 0 AND client_id NOT LIKE ?", "%://%").Find(&clients).Error // what came by a document stays as a mark
		if err == nil {
			err = deleteClients(ctx, db, clients)
		}
		pause := time.NewTimer(deletionPause)
		if err == nil {
			pause.Stop()
		} else if ctx.Err() == nil {
			log.Error("clients that were deleted are still there", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-d.waiting:
		case <-pause.C:
		}
	}
}

// deleteClients deletes clients and everything that was issued to them, a few at a time.
func deleteClients(ctx context.Context, db *gorm.DB, clients []Client) error {
	registrations, err := gormstore.NewClientRegistration[Client, Token](db)
	if err != nil {
		return err
	}
	const atOnce = 4 // each waits most of the time
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
