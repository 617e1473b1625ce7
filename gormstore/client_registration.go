package gormstore

import (
	"context"
	"errors"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// ClientRegistration keeps clients that register themselves (RFC 7591) in rows
// of the program's models; it is a [server.ClientRegistrationStorage]. A client
// that never got a token is forgotten by [Prune].
type ClientRegistration struct {
	clients *Clients
	tokens  *Tokens
}

// NewClientRegistration returns the store, or what is wrong with the models.
func NewClientRegistration[C, T any, PC ClientModel[C], PT TokenModel[T]](db *gorm.DB) (*ClientRegistration, error) {
	clients, err := NewClients[C, PC](db)
	if err != nil {
		return nil, err
	}
	tokens, err := NewTokens[T, PT](db)
	if err != nil {
		return nil, err
	}
	return &ClientRegistration{clients, tokens}, nil
}

// Pruned returns the table of clients, of which those leave that were never used. One
// that was deleted stays as a mark, be it by [ClientRegistration.DeleteClient] or by the
// model's own soft deletion.
func (r *ClientRegistration) Pruned() []*Table { return []*Table{r.clients.table} }

// SaveClient stores a new client.
func (r *ClientRegistration) SaveClient(ctx context.Context, record *models.ClientMixin, _ *server.Request) error {
	err := r.clients.table.do(ctx, step{own: r.holds(record), noted: true}, func(tx *tx) error {
		row := tx.table.newRow().(clientRow)
		*row.AsClientMixin() = *record
		if _, err := tx.insert(row); err != nil {
			return err
		}
		return tx.note(clientEntry(models.AuditClientRegistered, record.GetClientID(), time.Time{}))
	})
	if isDuplicate(err) {
		return errors.Join(server.ErrTaken, err)
	}
	return err
}

// holds is true of a client with the registration access token of the record.
func (r *ClientRegistration) holds(record *models.ClientMixin) clause.Expression {
	t := r.clients.table
	return clause.And(t.is("ClientID", record.ClientID), t.is("RegistrationAccessToken", record.RegistrationAccessToken))
}

// UpdateClient replaces a client's credentials and metadata. The registration
// access token, which each update rotates, decides between two at once.
func (r *ClientRegistration) UpdateClient(ctx context.Context, old, record *models.ClientMixin) (updated bool, err error) {
	err = r.clients.table.do(ctx, step{own: r.holds(record), noted: true}, func(tx *tx) error {
		changed, err := tx.update(map[string]any{
			"ClientSecret":                  record.ClientSecret,
			"ClientSecretExpiresAt":         record.ClientSecretExpiresAt,
			"PreviousClientSecret":          record.PreviousClientSecret,
			"PreviousClientSecretExpiresAt": record.PreviousClientSecretExpiresAt,
			"RegistrationAccessToken":       record.RegistrationAccessToken,
			"ClientMetadata":                record.ClientMetadata,
		}, r.holds(old))
		switch {
		case err != nil:
			return err
		case changed == 0:
			return errUpdated
		}
		return tx.note(clientEntry(models.AuditClientUpdated, record.GetClientID(), time.Time{}))
	})
	if errors.Is(err, errUpdated) {
		return false, nil
	}
	return err == nil, err
}

// errUpdated is for a client that was updated or deleted before.
var errUpdated = errors.New("gormstore: the client was updated before")

// DeleteClient removes a client for good, also where the model has soft
// deletion, and revokes its tokens, in one transaction. The handle's conditions are about
// clients, and a client that they leave out stays as it is. Of a client whose id is an
// address a row stays that says nothing except that the client was deleted: its metadata
// document would bring it back otherwise.
func (r *ClientRegistration) DeleteClient(ctx context.Context, clientID string, now time.Time) error {
	return r.clients.table.do(ctx, step{several: true}, func(tx *tx) error {
		removed, err := r.clients.remove(tx, clientID, now)
		if err != nil {
			return err
		}
		if removed == 0 { // a client that a condition of the handle leaves out is not the program's to delete
			if other, err := r.clients.exists(tx.unconditional().db, clientID); err != nil || other {
				return err
			}
		}
		tokens := r.tokens.table
		revoked, err := r.tokens.revoke(tx.on(tokens).unconditional(), now, tokens.is("ClientID", models.ClientKey(clientID)))
		if err != nil || removed+revoked == 0 {
			return err
		}
		return tx.note(clientEntry(models.AuditClientDeleted, clientID, now))
	})
}

// remove deletes a client's row, or makes it a mark where its id is an address.
func (c *Clients) remove(tx *tx, clientID string, now time.Time) (rows int64, err error) {
	if !strings.Contains(clientID, "://") {
		return tx.remove(c.is(clientID))
	}
	return tx.withDeleted().update(map[string]any{
		"ClientDeletedAt": max(now.Unix(), 1), "ClientMetadata": models.ClientMetadata{},
		"ClientSecret": "", "ClientSecretExpiresAt": 0, "PreviousClientSecret": "", "PreviousClientSecretExpiresAt": 0,
		"RegistrationAccessToken": "", "DocumentValidator": "", "APIResources": "",
	}, c.is(clientID), c.table.is("ClientDeletedAt", 0))
}

// KeepClient notes that a client is in use.
func (r *ClientRegistration) KeepClient(ctx context.Context, clientID string) error {
	return r.clients.table.do(ctx, step{}, func(tx *tx) error {
		_, err := tx.update(map[string]any{"UnusedExpiresAt": 0}, r.clients.is(clientID), tx.table.isNot("UnusedExpiresAt", 0))
		return err
	})
}
