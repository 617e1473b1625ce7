package gormstore

import (
	"context"
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

// UpdateDocumentClient stores what a document says now. A client that the
// operator has taken over stays as it is.
func (d *ClientDocuments[M, P]) UpdateDocumentClient(ctx context.Context, record *models.ClientMixin) error {
	s, names := d.clients.store, d.clients.columns
	return s.write(ctx, func(bool) error {
		_, err := s.update(s.conn(ctx), new(M), map[string]any{
			names["ClientMetadata"]: record.ClientMetadata, names["DocumentFetchedAt"]: record.DocumentFetchedAt,
		}, eq(names["ClientID"], record.ClientID), eq(names["ClientSource"], models.ClientByDocument))
		return err
	})
}
