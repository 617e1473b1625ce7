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
	AsReplayMixin() *models.ReplayMixin
}

// Replays remembers what may be presented once in rows of the program's model
// M; it is a [server.ReplayStorage].
type Replays[M any, P ReplayModel[M]] struct {
	store   *store
	columns columns
}

// NewReplays returns the store, or what is wrong with the model.
func NewReplays[M any, P ReplayModel[M]](db *gorm.DB) (*Replays[M, P], error) {
	s, names, err := newMixinStore(db, new(M), models.ReplayMixin{})
	if err != nil {
		return nil, err
	}
	return &Replays[M, P]{s, names}, nil
}

// FirstUse inserts the key: the unique index decides. When the connection was
// lost, it cannot be known who was the first.
func (r *Replays[M, P]) FirstUse(ctx context.Context, key string, expiresAt time.Time) (first bool, err error) {
	err = r.store.write(ctx, func(lost bool) error {
		row := new(M)
		*P(row).AsReplayMixin() = models.ReplayMixin{ReplayKey: server.Digest(key), ExpiresAt: expiresAt.Unix()}
		_, err := r.store.insert(r.store.conn(ctx), row)
		first = err == nil
		switch {
		case !isDuplicate(err):
			return err
		case lost:
			return errors.Join(server.ErrUnavailable, err)
		default:
			return nil
		}
	})
	return first, err
}

func (r *Replays[M, P]) pruning(grants, time.Time) pruning {
	return pruning{store: r.store, key: r.columns["ReplayKey"], expiresAt: r.columns["ExpiresAt"]}
}
