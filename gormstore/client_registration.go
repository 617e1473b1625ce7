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
	"github.com/gormoauth/gormoauth/server/storage"
)

// ClientRegistration stores clients that register themselves (RFC 7591) in rows of the
// program's models; it is a [endpoint.ClientRegistrationStorage]. [Prune] removes clients
// that never got a token.
type ClientRegistration struct {
	clients *Clients
	tokens  *Tokens
	more    []*Table // whose rows become tokens
}

// NewClientRegistration returns the store, or an error that says what is wrong with the
// models. Conditions of the handle apply to clients. Deleting a client ends its tokens in the
// model T, and everything that could become a token: codes and device authorizations in the
// stores made of the same database, and in those given as more.
func NewClientRegistration[C, T any, PC ClientModel[C], PT TokenModel[T]](db *gorm.DB, more ...Erasable) (*ClientRegistration, error) {
	clients, err := NewClients[C, PC](db)
	if err != nil {
		return nil, err
	}
	tokens, err := NewTokens[T, PT](unconditional(clients.table.db))
	if err != nil {
		return nil, err
	}
	return &ClientRegistration{clients, tokens, tablesOf(more)}, nil
}

// Pruned returns the table of clients. Clients that were never used are pruned. The row
// of a deleted client is kept as a mark, whether it was deleted by
// [ClientRegistration.DeleteClient] or by the model's own soft deletion.
func (r *ClientRegistration) Pruned() []*Table { return []*Table{r.clients.table} }

// SaveClient stores a new client. It returns [storage.ErrTaken] if the client id exists
// already.
func (r *ClientRegistration) SaveClient(ctx context.Context, record *models.ClientMixin, _ *server.Request) error {
	return r.clients.table.do(ctx, step{own: r.holds(record), noted: true}, func(tx *tx) error {
		row := tx.table.newRow().(clientRow)
		*row.AsClientMixin() = *record
		fresh, err := tx.insertNew(row)
		switch {
		case err != nil:
			return err
		case !fresh:
			return storage.ErrTaken
		}
		return tx.note(clientEntry(models.AuditClientRegistered, record.GetClientID(), time.Time{}))
	})
}

// holds is the condition that a row is the record's client, with the record's
// registration access token.
func (r *ClientRegistration) holds(record *models.ClientMixin) clause.Expression {
	t := r.clients.table
	return clause.And(t.is("ClientID", record.ClientID), t.is("RegistrationAccessToken", record.RegistrationAccessToken))
}

// UpdateClient replaces a client's metadata, and whatever else differs between old and
// record. It writes only that, so a secret that was rotated after old was read is kept.
// updated is false if the client no longer exists, or if the record changes the secret or the
// registration access token and the client no longer has the one in old.
func (r *ClientRegistration) UpdateClient(ctx context.Context, old, record *models.ClientMixin) (updated bool, err error) {
	values := map[string]any{"ClientMetadata": record.ClientMetadata}
	conditions := []clause.Expression{r.holds(old)}
	secretDiffers := secretOf(record) != secretOf(old)
	if secretDiffers {
		values["ClientSecret"], values["ClientSecretExpiresAt"] = record.ClientSecret, record.ClientSecretExpiresAt
		values["PreviousClientSecret"], values["PreviousClientSecretExpiresAt"] = record.PreviousClientSecret, record.PreviousClientSecretExpiresAt
		conditions = append(conditions, r.clients.secretIs(old.ClientSecret))
	}
	tokenDiffers := record.RegistrationAccessToken != old.RegistrationAccessToken
	if tokenDiffers {
		values["RegistrationAccessToken"] = record.RegistrationAccessToken
	}
	differs, err := metadataDiffers(old.ClientMetadata, record.ClientMetadata)
	if err != nil {
		return false, err
	}
	err = r.clients.table.do(ctx, step{noted: true}, func(tx *tx) (err error) {
		if tx.lost { // the update may have taken effect
			if updated, err = r.isStored(tx, old.ClientID, record, secretDiffers); err != nil || updated {
				return err
			}
		}
		changed, err := tx.update(values, conditions...)
		switch updated = changed > 0; {
		case err != nil:
			return err
		case !updated && !tokenDiffers: // MySQL does not count rows that already have the new values
			updated, err = r.isStored(tx, old.ClientID, record, secretDiffers)
			return err
		case !updated || !differs && !secretDiffers && !tokenDiffers:
			return nil
		}
		return tx.note(clientEntry(models.AuditClientUpdated, record.GetClientID(), time.Time{}))
	})
	return err == nil && updated, err
}

// storedSecret is a client's current and previous secret as they are stored, with their expiry.
type storedSecret struct {
	current, previous                   string
	currentExpiresAt, previousExpiresAt int64
}

func secretOf(client *models.ClientMixin) storedSecret {
	return storedSecret{client.ClientSecret, client.PreviousClientSecret, client.ClientSecretExpiresAt, client.PreviousClientSecretExpiresAt}
}

// isStored reports whether the client's row equals the record.
func (r *ClientRegistration) isStored(tx *tx, clientID string, record *models.ClientMixin, withSecret bool) (bool, error) {
	row := tx.table.newRow().(clientRow)
	found, err := tx.find(row, tx.table.is("ClientID", clientID), tx.table.is("RegistrationAccessToken", record.RegistrationAccessToken))
	if err != nil || !found {
		return false, err
	}
	stored := row.AsClientMixin()
	differs, err := metadataDiffers(stored.ClientMetadata, record.ClientMetadata)
	return err == nil && !differs && (!withSecret || secretOf(stored) == secretOf(record)), err
}

// errUpdated means that the client was updated or deleted in the meantime.
var errUpdated = errors.New("gormstore: the client was updated in the meantime")

// DeleteClient removes a client permanently, even if the model has soft deletion, and ends
// its grants as [Tokens.Revoke] does. It first marks the client as deleted, so that it is no
// longer found, ends its grants in steps, waits for requests under way, and then removes the
// client together with any remaining grants and the users' consents to it in one transaction.
// If it was interrupted, call it again. A client that the handle's conditions exclude is left
// unchanged. If the client's id is a URL, a row is kept that says only that the client was
// deleted, because its metadata document would otherwise recreate it.
func (r *ClientRegistration) DeleteClient(ctx context.Context, clientID string, now time.Time) error {
	ctx = eachStep(ctx)
	e, err := r.beginDeletion(ctx, clientID, now)
	if e == nil || err != nil {
		return err
	}
	if err := e.run(ctx); err != nil {
		return err
	}
	var gone int64
	err = r.clients.table.do(ctx, step{several: true}, func(tx *tx) error {
		removed, err := r.clients.remove(tx, clientID)
		if err != nil {
			return err
		}
		left, err := e.endWithin(tx, e.selection, now)
		if err != nil {
			return err
		}
		if gone = removed + e.ended + left; gone == 0 {
			return nil
		}
		if err := r.clients.forgetConsents(tx, clientID); err != nil || removed > 0 || e.noted { // beginDeletion wrote the audit entry
			return err
		}
		return tx.note(clientEntry(models.AuditClientDeleted, clientID, now))
	})
	if err == nil && gone > 0 {
		r.clients.table.tell(ctx, server.Revocation{ClientID: clientID, Reason: server.RevokedByDeletion}, now)
	}
	return err
}

// BeginDeleteClient marks a client as deleted, so that it is no longer found, and ends what
// was issued to it so far, without waiting for requests under way. Call DeleteClient
// afterwards to do the rest, for example after a page has answered. DeleteClient also
// completes a deletion that was begun only by setting the column client_deleted_at.
func (r *ClientRegistration) BeginDeleteClient(ctx context.Context, clientID string, now time.Time) error {
	ctx = eachStep(ctx)
	e, err := r.beginDeletion(ctx, clientID, now)
	if e == nil || err != nil {
		return err
	}
	return e.pass(ctx)
}

// beginDeletion marks a client as deleted. It returns nil for a client that the handle's
// conditions exclude.
func (r *ClientRegistration) beginDeletion(ctx context.Context, clientID string, now time.Time) (*ending, error) {
	if theirs, err := r.isOthers(ctx, clientID); err != nil || theirs {
		return nil, err
	}
	noted := false
	m := r.clients.table.clientMark(clientID)
	err := m.table.do(ctx, step{several: true, noted: true}, func(tx *tx) error {
		if err := m.delete(tx, now); err != nil || m.generation == 0 {
			return err
		}
		noted = true
		return tx.note(clientEntry(models.AuditClientDeleted, clientID, now))
	})
	if err != nil {
		return nil, err
	}
	return &ending{grants: r.tokens.grants(r.more...), selection: selection{clientID: clientID}, now: now, noted: noted}, nil
}

// isOthers reports whether a condition of the handle excludes a client, which this program
// must then not delete.
func (r *ClientRegistration) isOthers(ctx context.Context, clientID string) (others bool, err error) {
	t := r.clients.table
	if conditions, known := t.conditions(); known && conditions == "" && len(t.schema.QueryClauses) == 0 {
		return false, nil
	}
	err = retry(ctx, func(ctx context.Context) error {
		found, err := t.load(t.primary(ctx).Unscoped(), t.newRow(), r.clients.is(clientID))
		if err != nil || found {
			return err
		}
		others, err = r.clients.exists(t.bare(ctx), clientID)
		return err
	})
	return others, err
}

// forgetConsents removes all users' consents to a deleted client.
func (c *Clients) forgetConsents(tx *tx, clientID string) error {
	for _, table := range c.table.consentsTo() {
		if _, err := tx.on(table).withoutHooks().remove(table.is(table.about.ClientID, models.ClientKey(clientID))); err != nil {
			return err
		}
	}
	return nil
}

// withoutConditions returns the same table on a handle without conditions.
func (t *Table) withoutConditions() *Table { return t.with(unconditional(t.db)) }

// TellRevocationsTo reports deleted clients to the server's hooks.
func (r *ClientRegistration) TellRevocationsTo(s *server.Server) {
	r.clients.table.TellRevocationsTo(s)
}

// delete marks a client's row as deleted, so that it is no longer found. It changes
// nothing if the row is already marked.
func (m *mark) delete(tx *tx, now time.Time) error {
	return m.raise(tx, map[string]any{"ClientDeletedAt": max(now.Unix(), 1)}, m.table.is("ClientDeletedAt", 0))
}

// remove deletes the row of a client that was marked as deleted. If the client's id is a
// URL, it empties the row except for the mark instead.
func (c *Clients) remove(tx *tx, clientID string) (rows int64, err error) {
	if !strings.Contains(clientID, "://") {
		return tx.remove(c.is(clientID))
	}
	ended := column(c.table.column("EndedGeneration"))
	return tx.withDeleted().update(map[string]any{
		"EndedGeneration": column(c.table.column("Generation")), "ClientMetadata": models.ClientMetadata{},
		"ClientSecret": "", "ClientSecretExpiresAt": 0, "PreviousClientSecret": "", "PreviousClientSecretExpiresAt": 0,
		"RegistrationAccessToken": "", "DocumentValidator": "", "APIResources": "",
	}, c.is(clientID), clause.Lt{Column: ended, Value: column(c.table.column("Generation"))})
}

// KeepClient records that a client that registered itself is in use, so that it is not
// pruned.
func (r *ClientRegistration) KeepClient(ctx context.Context, clientID string) error {
	return r.clients.table.do(ctx, step{}, func(tx *tx) error {
		_, err := tx.update(map[string]any{"UnusedExpiresAt": 0}, r.clients.is(clientID), tx.table.isNot("UnusedExpiresAt", 0), tx.table.isNot("ClientSource", models.ClientByDocument))
		return err
	})
}
