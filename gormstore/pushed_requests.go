package gormstore

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// PushedRequestModel is a pointer to a model that embeds
// models.PushedRequestMixin.
type PushedRequestModel[M any] interface {
	*M
	server.PushedRequest
	AsPushedRequestMixin() *models.PushedRequestMixin
}

// PushedRequests keeps pushed authorization requests (RFC 9126) in rows of the
// program's model M; it is a [server.PushedRequestStorage].
type PushedRequests[M any, P PushedRequestModel[M]] struct {
	store   *store
	columns columns
}

// NewPushedRequests returns the store, or what is wrong with the model.
func NewPushedRequests[M any, P PushedRequestModel[M]](db *gorm.DB) (*PushedRequests[M, P], error) {
	s, names, err := newMixinStore(db, new(M), models.PushedRequestMixin{})
	if err != nil {
		return nil, err
	}
	return &PushedRequests[M, P]{s, names}, nil
}

// SavePushedRequest stores a request.
func (p *PushedRequests[M, P]) SavePushedRequest(ctx context.Context, record *models.PushedRequestMixin) error {
	return p.store.once(ctx, eq(p.columns["RequestURI"], record.RequestURI), func(db *gorm.DB) error {
		row := new(M)
		*P(row).AsPushedRequestMixin() = *record
		_, err := p.store.insert(db, row)
		return err
	})
}

// QueryPushedRequest finds a request by the digest of its request_uri.
func (p *PushedRequests[M, P]) QueryPushedRequest(ctx context.Context, requestURI string) (server.PushedRequest, error) {
	row := new(M)
	found, err := p.store.find(ctx, row, eq(p.columns["RequestURI"], requestURI))
	if err != nil || !found {
		return nil, err
	}
	return P(row), nil
}

// UsePushedRequest marks a request as used. When the connection was lost, it
// cannot be known who used it.
func (p *PushedRequests[M, P]) UsePushedRequest(ctx context.Context, requestURI string, now time.Time) (won bool, err error) {
	err = p.store.write(ctx, func(lost bool) error {
		changed, err := p.store.update(p.store.conn(ctx), new(M), map[string]any{p.columns["UsedAt"]: now.Unix()},
			eq(p.columns["RequestURI"], requestURI), eq(p.columns["UsedAt"], 0))
		won = err == nil && changed == 1
		if err == nil && !won && lost {
			return errors.Join(server.ErrUnavailable, server.ErrSpent)
		}
		return err
	})
	return won, err
}

func (p *PushedRequests[M, P]) pruning(grants, time.Time) pruning {
	return pruning{store: p.store, key: p.columns["RequestURI"], expiresAt: p.columns["ExpiresAt"]}
}
