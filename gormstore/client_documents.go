package gormstore

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/storage"
)

// ClientDocuments stores clients whose id is the URL of their metadata document in rows
// of the program's model; it is a [clientauth.ClientDocumentStorage].
type ClientDocuments struct{ clients *Clients }

// NewClientDocuments returns the store, or an error that says what is wrong with the
// model.
func NewClientDocuments[M any, P ClientModel[M]](db *gorm.DB) (*ClientDocuments, error) {
	clients, err := NewClients[M, P](db)
	if err != nil {
		return nil, err
	}
	return &ClientDocuments{clients}, nil
}

// Pruned returns the table of clients. Clients that have been unused for a month, which means
// that their document has not been fetched for that long, are pruned. Set unused_expires_at
// to 0 in a row to keep it, for example because it holds data of the program's own.
func (d *ClientDocuments) Pruned() []*Table { return []*Table{d.clients.table} }

// DocumentClient returns the record as a client, without storing it.
func (d *ClientDocuments) DocumentClient(record *models.ClientMixin) storage.Client {
	row := d.clients.table.newRow().(clientRow)
	*row.AsClientMixin() = *record
	return row
}

// SaveDocumentClient stores a client, unless another instance has already stored it.
func (d *ClientDocuments) SaveDocumentClient(ctx context.Context, record *models.ClientMixin) error {
	return d.clients.table.do(ctx, step{noted: true}, func(tx *tx) error {
		fresh, err := tx.insertNew(d.DocumentClient(record))
		if err != nil || !fresh {
			return err
		}
		return tx.note(clientEntry(models.AuditClientRegistered, record.GetClientID(), time.Time{}))
	})
}

// HidesClient reports whether the client has a row that [Clients.Query] does not return:
// one that was deleted, including by the model's own soft deletion, or one that a
// condition of the handle excludes.
func (d *ClientDocuments) HidesClient(ctx context.Context, clientID string) (hidden bool, err error) {
	err = retry(ctx, func(ctx context.Context) (err error) {
		hidden, err = d.clients.exists(d.clients.table.bare(ctx), clientID)
		return err
	})
	return hidden, err
}

// UpdateDocumentClient stores what a document says now, with an entry in the audit trail
// if the metadata has changed. If several instances have fetched the document, only one
// of them stores it. A client that the operator has taken over is left unchanged.
func (d *ClientDocuments) UpdateDocumentClient(ctx context.Context, old, record *models.ClientMixin) error {
	changed, err := metadataDiffers(old.ClientMetadata, record.ClientMetadata)
	if err != nil {
		return err
	}
	return d.clients.table.do(ctx, step{noted: changed}, func(tx *tx) error {
		t := tx.table
		updated, err := tx.update(map[string]any{
			"ClientMetadata": record.ClientMetadata, "DocumentFetchedAt": record.DocumentFetchedAt,
			"DocumentExpiresAt": record.DocumentExpiresAt, "DocumentValidator": record.DocumentValidator,
			"UnusedExpiresAt": record.UnusedExpiresAt,
		}, t.is("ClientID", record.ClientID), t.is("ClientSource", models.ClientByDocument),
			t.is("ClientDeletedAt", 0), t.is("DocumentFetchedAt", old.DocumentFetchedAt))
		if err != nil || updated == 0 || !changed {
			return err
		}
		return tx.note(clientEntry(models.AuditClientUpdated, record.GetClientID(), time.Time{}))
	})
}

// metadataDiffers reports whether two registrations are stored as different JSON.
func metadataDiffers(a, b models.ClientMetadata) (bool, error) {
	one, errA := a.Value()
	other, errB := b.Value()
	return one != other, errors.Join(errA, errB)
}
