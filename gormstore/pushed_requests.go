package gormstore

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/par"
	"github.com/gormoauth/gormoauth/server/storage"
)

// PushedRequestModel is a pointer to a model that embeds
// models.PushedRequestMixin.
type PushedRequestModel[M any] interface {
	*M
	pushedRow
}

type pushedRow interface {
	par.Request
	Described
	AsPushedRequestMixin() *models.PushedRequestMixin
}

// PushedRequests stores pushed authorization requests (RFC 9126) in rows of the program's
// model; it is a [par.Storage].
type PushedRequests struct{ table *Table }

// NewPushedRequests returns the store, or an error that says what is wrong with the
// model.
func NewPushedRequests[M any, P PushedRequestModel[M]](db *gorm.DB) (*PushedRequests, error) {
	table, err := newTable(db, P(new(M)))
	if err != nil {
		return nil, err
	}
	return &PushedRequests{table}, nil
}

// Pruned returns the table of pushed requests.
func (p *PushedRequests) Pruned() []*Table { return []*Table{p.table} }

// SavePushedRequest stores a request.
func (p *PushedRequests) SavePushedRequest(ctx context.Context, record *models.PushedRequestMixin) error {
	return p.table.do(ctx, step{outcome: true, own: p.table.is("RequestURI", record.RequestURI)}, func(tx *tx) error {
		row := p.table.newRow().(pushedRow)
		*row.AsPushedRequestMixin() = *record
		_, err := tx.insert(row)
		return err
	})
}

// QueryPushedRequest finds a request by the digest of its request_uri. It returns nil
// when there is none.
func (p *PushedRequests) QueryPushedRequest(ctx context.Context, requestURI string) (par.Request, error) {
	row := p.table.newRow()
	found, err := p.table.find(ctx, row, p.table.is("RequestURI", requestURI))
	if err != nil || !found {
		return nil, err
	}
	return row.(pushedRow), nil
}

// UsePushedRequest marks a request as used, and reports whether it was not used before.
// If the connection was lost, it cannot be known who used it: the error is then
// [storage.ErrUnavailable].
func (p *PushedRequests) UsePushedRequest(ctx context.Context, requestURI string, now time.Time) (won bool, err error) {
	err = p.table.do(ctx, step{stays: true}, func(tx *tx) error {
		changed, err := tx.void(now, p.table.is("RequestURI", requestURI))
		won = err == nil && changed == 1
		if err == nil && !won && tx.lost {
			return errors.Join(storage.ErrUnavailable, storage.ErrSpent)
		}
		return err
	})
	return won, err
}

// IsSpentWithOutcome tells the engine that stores of the same database record the use in the
// same step that stores the outcome of the request.
func (*PushedRequests) IsSpentWithOutcome() {}
