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
	more    []*Table // of what becomes tokens
}

// NewClientRegistration returns the store, or what is wrong with the models. A condition of
// the handle is about clients. With a client that is deleted ends what is in the model T
// of tokens, and what could become tokens: codes and device authorizations in the stores that
// were made of the same database, and those that more names.
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

// Pruned returns the table of clients, of which those leave that were never used. One
// that was deleted stays as a mark, be it by [ClientRegistration.DeleteClient] or by the
// model's own soft deletion.
func (r *ClientRegistration) Pruned() []*Table { return []*Table{r.clients.table} }

// SaveClient stores a new client.
func (r *ClientRegistration) SaveClient(ctx context.Context, record *models.ClientMixin, _ *server.Request) error {
	return r.clients.table.do(ctx, step{own: r.holds(record), noted: true}, func(tx *tx) error {
		row := tx.table.newRow().(clientRow)
		*row.AsClientMixin() = *record
		fresh, err := tx.insertNew(row)
		switch {
		case err != nil:
			return err
		case !fresh:
			return server.ErrTaken
		}
		return tx.note(clientEntry(models.AuditClientRegistered, record.GetClientID(), time.Time{}))
	})
}

// holds is true of a client with the registration access token of the record.
func (r *ClientRegistration) holds(record *models.ClientMixin) clause.Expression {
	t := r.clients.table
	return clause.And(t.is("ClientID", record.ClientID), t.is("RegistrationAccessToken", record.RegistrationAccessToken))
}

// UpdateClient replaces a client's metadata, and what else the record has changed. It
// writes that alone: of a client whose secret was rotated since old was read, the new one
// stays. Where the record has another secret, or another registration access token, than old,
// it reports false if the client has another by now; and if it is gone.
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
		if tx.lost { // it may have happened
			if updated, err = r.isStored(tx, old.ClientID, record, secretDiffers); err != nil || updated {
				return err
			}
		}
		changed, err := tx.update(values, conditions...)
		switch updated = changed > 0; {
		case err != nil:
			return err
		case !updated && !tokenDiffers: // MySQL counts no row that it leaves as it is
			updated, err = r.isStored(tx, old.ClientID, record, secretDiffers)
			return err
		case !updated || !differs && !secretDiffers && !tokenDiffers:
			return nil
		}
		return tx.note(clientEntry(models.AuditClientUpdated, record.GetClientID(), time.Time{}))
	})
	return err == nil && updated, err
}

// secret is what a client has of secrets, as it is stored.
type secret struct {
	current, previous                   string
	currentExpiresAt, previousExpiresAt int64
}

func secretOf(client *models.ClientMixin) secret {
	return secret{client.ClientSecret, client.PreviousClientSecret, client.ClientSecretExpiresAt, client.PreviousClientSecretExpiresAt}
}

// isStored reports whether a client is as the record says.
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

// errUpdated is for a client that was updated or deleted before.
var errUpdated = errors.New("gormstore: the client was updated before")

// DeleteClient removes a client for good, also where the model has soft deletion, and ends
// its grants as [Tokens.Revoke] does: it marks the client first, which nobody finds from then
// on, ends its grants in steps, waits for what is under way, and then removes it, in one
// transaction with what is left and the consents of users to it. When it was interrupted,
// call it again. The handle's conditions are
// about clients, and a client that they leave out stays as it is. Of a client whose id is an
// address a row stays that says nothing except that the client was deleted: its metadata
// document would bring it back otherwise.
func (r *ClientRegistration) DeleteClient(ctx context.Context, clientID string, now time.Time) error {
	ctx = eachStep(ctx)
	e, err := r.beginDeletion(ctx, clientID, now)
	if e == nil || err != nil {
		return err
	}
	if err := e.run(ctx); err != nil {
		return err
	}
	gone := int64(0)
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
		if err := r.clients.forgetConsents(tx, clientID); err != nil || removed > 0 { // which was noted when it was marked
			return err
		}
		return tx.note(clientEntry(models.AuditClientDeleted, clientID, now))
	})
	if err == nil && gone > 0 {
		r.clients.table.tell(ctx, server.Revocation{ClientID: clientID, Reason: server.RevokedByDeletion}, now)
	}
	return err
}

// BeginDeleteClient marks a client as deleted, so that nobody finds it any more, and ends what
// was issued to it so far. It waits for nothing: DeleteClient is to follow, which does the
// rest, such as behind the answer of a page. What marks a client by its column
// client_deleted_at alone is completed by that as well.
func (r *ClientRegistration) BeginDeleteClient(ctx context.Context, clientID string, now time.Time) error {
	ctx = eachStep(ctx)
	e, err := r.beginDeletion(ctx, clientID, now)
	if e == nil || err != nil {
		return err
	}
	return e.pass(ctx)
}

// beginDeletion marks a client as deleted. It returns nil for one that is not the program's
// to delete.
func (r *ClientRegistration) beginDeletion(ctx context.Context, clientID string, now time.Time) (*ending, error) {
	if theirs, err := r.isOthers(ctx, clientID); err != nil || theirs {
		return nil, err
	}
	m := r.clients.table.clientMark(clientID)
	err := m.table.do(ctx, step{several: true, noted: true}, func(tx *tx) error {
		if err := m.delete(tx, now); err != nil || m.generation == 0 {
			return err
		}
		return tx.note(clientEntry(models.AuditClientDeleted, clientID, now))
	})
	if err != nil {
		return nil, err
	}
	return &ending{grants: r.tokens.grants(r.more...), selection: selection{clientID: clientID}, now: now}, nil
}

// isOthers reports whether a condition of the handle leaves a client out, which is then not
// the program's to delete.
func (r *ClientRegistration) isOthers(ctx context.Context, clientID string) (others bool, err error) {
	t := r.clients.table
	if conditions, known := t.conditions(); known && conditions == "" && len(t.schema.QueryClauses) == 0 {
		return false, nil
	}
	err = retry(ctx, func(ctx context.Context) error {
		found, err := t.load(t.primary(ctx).Unscoped(), t.newRow(), r.clients.is(clientID))
		if err != nil || found {
			others = false
			return err
		}
		others, err = r.clients.exists(t.bare(ctx), clientID)
		return err
	})
	return others, err
}

// forgetConsents removes the consents of all users to a client that is gone.
func (c *Clients) forgetConsents(tx *tx, clientID string) error {
	for _, table := range c.table.consentsTo() {
		if _, err := tx.on(table).withoutHooks().remove(table.is(table.about.ClientID, models.ClientKey(clientID))); err != nil {
			return err
		}
	}
	return nil
}

// withoutConditions is the same table on a handle that is about all rows.
func (t *Table) withoutConditions() *Table {
	plain := *t
	plain.db = unconditional(t.db)
	return &plain
}

// TellRevocationsTo has the server's hooks be told of the clients that are deleted.
func (r *ClientRegistration) TellRevocationsTo(s *server.Server) {
	r.clients.table.TellRevocationsTo(s)
}

// delete marks a client's row as deleted, so that nobody finds it any more. One that was
// marked before stays as it is.
func (m *mark) delete(tx *tx, now time.Time) error {
	return m.raise(tx, map[string]any{"ClientDeletedAt": max(now.Unix(), 1)}, m.table.is("ClientDeletedAt", 0))
}

// remove removes the row of a client that was marked as deleted, or leaves nothing in it but
// the mark where its id is an address.
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

// KeepClient notes that a client that registered itself is in use.
func (r *ClientRegistration) KeepClient(ctx context.Context, clientID string) error {
	return r.clients.table.do(ctx, step{}, func(tx *tx) error {
		_, err := tx.update(map[string]any{"UnusedExpiresAt": 0}, r.clients.is(clientID), tx.table.isNot("UnusedExpiresAt", 0), tx.table.isNot("ClientSource", models.ClientByDocument))
		return err
	})
}
