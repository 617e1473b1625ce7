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
type ClientRegistration[C any, PC ClientModel[C], T any, PT TokenModel[T]] struct {
	clients *Clients[C, PC]
	tokens  *Tokens[T, PT]
}

// NewClientRegistration returns the store, or what is wrong with the models.
func NewClientRegistration[C, T any, PC ClientModel[C], PT TokenModel[T]](db *gorm.DB) (*ClientRegistration[C, PC, T, PT], error) {
	clients, err := NewClients[C, PC](db)
	if err != nil {
		return nil, err
	}
	tokens, err := NewTokens[T, PT](db)
	if err != nil {
		return nil, err
	}
	return &ClientRegistration[C, PC, T, PT]{clients, tokens}, nil
}

// SaveClient stores a new client.
func (r *ClientRegistration[C, PC, T, PT]) SaveClient(ctx context.Context, record *models.ClientMixin, _ *server.Request) error {
	s, names := r.clients.store, r.clients.columns
	own := clause.And(eq(names["ClientID"], record.ClientID), eq(names["RegistrationAccessToken"], record.RegistrationAccessToken))
	err := s.act(ctx, own, func(db *gorm.DB) error {
		row := new(C)
		*PC(row).AsClientMixin() = *record
		if _, err := s.insert(db, row); err != nil {
			return err
		}
		return s.trail.note(db, clientEntry(models.AuditClientRegistered, record.GetClientID(), time.Time{}))
	})
	if isDuplicate(err) {
		return errors.Join(server.ErrTaken, err)
	}
	return err
}

// UpdateClient replaces a client's credentials and metadata. The registration
// access token, which each update rotates, decides between two at once.
func (r *ClientRegistration[C, PC, T, PT]) UpdateClient(ctx context.Context, old, record *models.ClientMixin) (updated bool, err error) {
	s, names := r.clients.store, r.clients.columns
	own := clause.And(eq(names["ClientID"], record.ClientID), eq(names["RegistrationAccessToken"], record.RegistrationAccessToken))
	err = s.act(ctx, own, func(db *gorm.DB) error {
		changed, err := s.update(db, new(C), map[string]any{
			names["ClientSecret"]:                  record.ClientSecret,
			names["ClientSecretExpiresAt"]:         record.ClientSecretExpiresAt,
			names["PreviousClientSecret"]:          record.PreviousClientSecret,
			names["PreviousClientSecretExpiresAt"]: record.PreviousClientSecretExpiresAt,
			names["RegistrationAccessToken"]:       record.RegistrationAccessToken,
			names["ClientMetadata"]:                record.ClientMetadata,
		}, eq(names["ClientID"], old.ClientID), eq(names["RegistrationAccessToken"], old.RegistrationAccessToken))
		switch {
		case err != nil:
			return err
		case changed == 0:
			return errUpdated
		}
		return s.trail.note(db, clientEntry(models.AuditClientUpdated, record.GetClientID(), time.Time{}))
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
func (r *ClientRegistration[C, PC, T, PT]) DeleteClient(ctx context.Context, clientID string, now time.Time) error {
	s := r.clients.store
	return s.write(ctx, func(bool) error {
		return atomically(s.conn(ctx), func(tx *gorm.DB) error {
			removed, err := r.clients.remove(tx, clientID, now)
			if err != nil {
				return err
			}
			if removed == 0 { // a client that a condition of the handle leaves out is not the program's to delete
				if other, err := r.clients.exists(unconditional(tx), clientID); err != nil || other {
					return err
				}
			}
			revoked, err := r.tokens.revoke(unconditional(tx), now, r.tokens.is("ClientID", models.ClientKey(clientID)))
			if err != nil || removed+revoked == 0 {
				return err
			}
			return s.trail.note(tx, clientEntry(models.AuditClientDeleted, clientID, now))
		})
	})
}

// remove deletes a client's row, or makes it a mark where its id is an address.
func (c *Clients[M, P]) remove(tx *gorm.DB, clientID string, now time.Time) (rows int64, err error) {
	names, theirs := c.columns, eq(c.columns["ClientID"], models.ClientKey(clientID))
	if !strings.Contains(clientID, "://") {
		return c.store.remove(tx, theirs)
	}
	return c.store.update(tx.Unscoped(), new(M), map[string]any{
		names["ClientDeletedAt"]: max(now.Unix(), 1), names["ClientMetadata"]: models.ClientMetadata{},
		names["ClientSecret"]: "", names["ClientSecretExpiresAt"]: 0, names["PreviousClientSecret"]: "", names["PreviousClientSecretExpiresAt"]: 0,
		names["RegistrationAccessToken"]: "", names["DocumentValidator"]: "", names["APIResources"]: "",
	}, theirs, eq(names["ClientDeletedAt"], 0))
}

// KeepClient notes that a client is in use.
func (r *ClientRegistration[C, PC, T, PT]) KeepClient(ctx context.Context, clientID string) error {
	s, unused := r.clients.store, r.clients.columns["UnusedExpiresAt"]
	return s.write(ctx, func(bool) error {
		_, err := s.update(s.conn(ctx), new(C), map[string]any{unused: 0}, eq(r.clients.columns["ClientID"], models.ClientKey(clientID)), neq(unused, 0))
		return err
	})
}

// pruning is of clients that were never used. One that was deleted stays as a mark, be it
// by [ClientRegistration.DeleteClient] or by the model's own soft deletion.
func (r *ClientRegistration[C, PC, T, PT]) pruning(grants, time.Time) pruning {
	s, names := r.clients.store, r.clients.columns
	conditions := append(s.notSoftDeleted(), clause.Gt{Column: column(names["UnusedExpiresAt"]), Value: 0}, eq(names["ClientDeletedAt"], 0)) // 0 is never
	return pruning{store: s, key: names["ClientID"], expiresAt: names["UnusedExpiresAt"], also: clause.And(conditions...)}
}
