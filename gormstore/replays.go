package gormstore

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
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

// Replays remembers what may be presented once in rows of the program's model; it is a
// [server.ReplayStorage].
type Replays struct{ table *Table }

// replayMargin is how long what was presented is remembered after it could not be presented
// again: the clock of an instance that prunes may be ahead of one that takes it still.
const replayMargin = 10 * time.Minute

// NewReplays returns the store, or what is wrong with the model.
func NewReplays[M any, P ReplayModel[M]](db *gorm.DB) (*Replays, error) {
	table, err := newTable(db, P(new(M)))
	if err != nil {
		return nil, err
	}
	table.keep = replayMargin
	return &Replays{table}, nil
}

// Pruned returns the table of replays, whose rows leave ten minutes after their end.
func (r *Replays) Pruned() []*Table { return []*Table{r.table} }

// FirstUse inserts the key: the unique index decides. When the connection was
// lost, it cannot be known who was the first.
func (r *Replays) FirstUse(ctx context.Context, key string, expiresAt time.Time) (first bool, err error) {
	err = r.table.do(ctx, step{stays: true}, func(tx *tx) error {
		first, err = newReplay(tx, key, expiresAt)
		if err == nil && !first && tx.lost {
			return errors.Join(server.ErrUnavailable, server.ErrTaken)
		}
		return err
	})
	return first, err
}

func newReplay(tx *tx, key string, expiresAt time.Time) (first bool, err error) {
	row := tx.table.newRow().(replayRow)
	*row.AsReplayMixin() = models.ReplayMixin{ReplayKey: server.Digest(key), ExpiresAt: expiresAt.Unix()}
	return tx.insertNew(row)
}

// IsSpentWithOutcome says that the stores of the same database mark what is used in the step
// that stores an outcome.
func (*Replays) IsSpentWithOutcome() {}
