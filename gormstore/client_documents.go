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
// rows of the program's model; it is a [server.ClientDocumentStorage].
type ClientDocuments struct{ clients *Clients }

// NewClientDocuments returns the store, or what is wrong with the model.
func NewClientDocuments[M any, P ClientModel[M]](db *gorm.DB) (*ClientDocuments, error) {
	clients, err := NewClients[M, P](db)
	if err != nil {
		return nil, err
	}
	return &ClientDocuments{clients}, nil
}

// Pruned returns the table of clients, of which those leave that nobody has used for a month:
// whose document was not fetched for so long. Set unused_expires_at to 0 in a row that is to
// stay, such as one in which the program keeps something of its own.
func (d *ClientDocuments) Pruned() []*Table { return []*Table{d.clients.table} }

// DocumentClient returns a client that has no row yet.
func (d *ClientDocuments) DocumentClient(record *models.ClientMixin) server.Client {
	row := d.clients.table.newRow().(clientRow)
	*row.AsClientMixin() = *record
	return row
}

// SaveDocumentClient stores a client, unless another instance has done so.
func (d *ClientDocuments) SaveDocumentClient(ctx context.Context, record *models.ClientMixin) error {
	return d.clients.table.do(ctx, step{noted: true}, func(tx *tx) error {
		fresh, err := tx.insertNew(d.DocumentClient(record))
		if err != nil || !fresh {
			return err
		}
		return tx.note(clientEntry(models.AuditClientRegistered, record.GetClientID(), time.Time{}))
	})
}

// HidesClient reports whether there is a row of the client that [Clients.Query] does not
// return: a deleted one, also by the model's own soft deletion, or one that a condition
// of the handle leaves out.
func (d *ClientDocuments) HidesClient(ctx context.Context, clientID string) (hidden bool, err error) {
	err = retry(ctx, func(ctx context.Context) (err error) {
		hidden, err = d.clients.exists(d.clients.table.bare(ctx), clientID)
		return err
	})
	return hidden, err
}

// UpdateDocumentClient stores what a document says now, with an entry in the audit trail
// where it says something else than before. Of several instances that have fetched it
// one stores it. A client that the operator has taken over stays as it is.
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

// metadataDiffers reports whether two registrations are stored as different texts.
func metadataDiffers(a, b models.ClientMetadata) (bool, error) {
	one, errA := a.Value()
	other, errB := b.Value()
	return one != other, errors.Join(errA, errB)
}
