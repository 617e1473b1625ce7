package gormstore

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// ReplayModel is a pointer to a model that embeds models.ReplayMixin.
type ReplayModel[M any] interface {
	*M
	replayRow
}

type replayRow interface {
	Described
	AsReplayMixin() *models.ReplayMixin
}

// Replays remembers what may be presented only once, in rows of the program's model; it
// is a [storage.Replays].
type Replays struct{ table *Table }

// replayMargin is how long something is remembered after it has expired: the clock of the
// instance that prunes may be ahead of the clock of one that would still accept it.
const replayMargin = 10 * time.Minute

// NewReplays returns the store, or an error that says what is wrong with the model.
func NewReplays[M any, P ReplayModel[M]](db *gorm.DB) (*Replays, error) {
	table, err := newTable(db, P(new(M)))
	if err != nil {
		return nil, err
	}
	table.keep = replayMargin
	return &Replays{table}, nil
}

// Pruned returns the table of replays, whose rows are pruned ten minutes after they have
// expired.
func (r *Replays) Pruned() []*Table { return []*Table{r.table} }

// FirstUse reports whether the key was not used before, and remembers it until expiresAt.
// The unique index decides. If the connection was lost, it cannot be known which request
// was first: the error is then [storage.ErrUnavailable].
func (r *Replays) FirstUse(ctx context.Context, key string, expiresAt time.Time) (first bool, err error) {
	err = r.table.do(ctx, step{stays: true}, func(tx *tx) error {
		first, err = newReplay(tx, key, expiresAt)
		if err == nil && !first && tx.lost {
			return errors.Join(storage.ErrUnavailable, storage.ErrTaken)
		}
		return err
	})
	return first, err
}

func newReplay(tx *tx, key string, expiresAt time.Time) (first bool, err error) {
	row := tx.table.newRow().(replayRow)
	*row.AsReplayMixin() = models.ReplayMixin{ReplayKey: secret.Digest(key), ExpiresAt: expiresAt.Unix()}
	return tx.insertNew(row)
}

// IsSpentWithOutcome tells the engine that stores of the same database record the use in the
// same step that stores the outcome of the request.
func (*Replays) IsSpentWithOutcome() {}
