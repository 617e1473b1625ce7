package gormstore

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// ClientDocuments keeps clients whose id is the address of their metadata in
// rows of the program's model M; it is a [server.ClientDocumentStorage].
type ClientDocuments[M any, P ClientModel[M]] struct{ clients *Clients[M, P] }

// NewClientDocuments returns the store, or what is wrong with the model.
func NewClientDocuments[M any, P ClientModel[M]](db *gorm.DB) (*ClientDocuments[M, P], error) {
	clients, err := NewClients[M, P](db)
	if err != nil {
		return nil, err
	}
	return &ClientDocuments[M, P]{clients}, nil
}

// DocumentClient returns a client that has no row yet.
func (d *ClientDocuments[M, P]) DocumentClient(record *models.ClientMixin) server.Client {
	row := new(M)
	*P(row).AsClientMixin() = *record
	return P(row)
}

// SaveDocumentClient stores a client, unless another instance has done so.
func (d *ClientDocuments[M, P]) SaveDocumentClient(ctx context.Context, record *models.ClientMixin) error {
	s := d.clients.store
	err := s.write(ctx, func(bool) error {
		return s.trail.together(s.conn(ctx), func(db *gorm.DB) error {
			row := new(M)
			*P(row).AsClientMixin() = *record
			if _, err := s.insert(db, row); err != nil {
				return err
			}
			return s.trail.note(db, clientEntry(models.AuditClientRegistered, record.GetClientID(), time.Time{}))
		})
	})
	if isDuplicate(err) {
		return nil
	}
	return err
}

// HidesClient reports whether there is a row of the client that [Clients.Query] does not
// return: a deleted one, also by the model's own soft deletion, or one that a condition
// of the handle leaves out.
func (d *ClientDocuments[M, P]) HidesClient(ctx context.Context, clientID string) (hidden bool, err error) {
	err = retry(ctx, func(bool) (err error) {
		hidden, err = d.clients.exists(d.clients.store.bare(ctx), clientID)
		return err
	})
	return hidden, err
}

// exists reports whether there is a row of the client, deleted or not.
func (c *Clients[M, P]) exists(db *gorm.DB, clientID string) (bool, error) {
	row := new(M)
	result := where(db.Unscoped(), eq(c.columns["ClientID"], models.ClientKey(clientID))).Limit(1).Find(row)
	return result.RowsAffected == 1 && P(row).AsClientMixin().GetClientID() == clientID, result.Error
}

// UpdateDocumentClient stores what a document says now, with an entry in the audit trail
// where it says something else than before. Of several instances that have fetched it
// one stores it. A client that the operator has taken over stays as it is.
func (d *ClientDocuments[M, P]) UpdateDocumentClient(ctx context.Context, old, record *models.ClientMixin) error {
	s, names := d.clients.store, d.clients.columns
	changed, err := metadataDiffers(old.ClientMetadata, record.ClientMetadata)
	if err != nil {
		return err
	}
	step := func(db *gorm.DB) error {
		updated, err := s.update(db, new(M), map[string]any{
			names["ClientMetadata"]: record.ClientMetadata, names["DocumentFetchedAt"]: record.DocumentFetchedAt,
			names["DocumentExpiresAt"]: record.DocumentExpiresAt, names["DocumentValidator"]: record.DocumentValidator,
		}, eq(names["ClientID"], record.ClientID), eq(names["ClientSource"], models.ClientByDocument),
			eq(names["ClientDeletedAt"], 0), eq(names["DocumentFetchedAt"], old.DocumentFetchedAt))
		if err != nil || updated == 0 || !changed {
			return err
		}
		return s.trail.note(db, clientEntry(models.AuditClientUpdated, record.GetClientID(), time.Time{}))
	}
	return s.write(ctx, func(bool) error {
		if !changed {
			return step(s.conn(ctx))
		}
		return s.trail.together(s.conn(ctx), step)
	})
}

// metadataDiffers reports whether two registrations are stored as different texts.
func metadataDiffers(a, b models.ClientMetadata) (bool, error) {
	one, errA := a.Value()
	other, errB := b.Value()
	return one != other, errors.Join(errA, errB)
}
