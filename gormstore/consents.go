package gormstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// ConsentModel is a pointer to a model that embeds models.ConsentMixin.
type ConsentModel[M any] interface {
	*M
	consentRow
}

type consentRow interface {
	Described
	AsConsentMixin() *models.ConsentMixin
}

// Consents stores what users have consented to in rows of the program's model M; it is a
// grant.ConsentStorage.
type Consents[M any] struct {
	table  *Table
	tokens *Tokens
	more   []*Table // other tables whose rows become tokens
}

// NewConsents returns the store, or an error that says what is wrong with the models. All
// three models need an index on UserID. Revoking a consent ends what was issued under it
// in the models T of tokens and C of codes.
//
// It also ends device authorizations and single-use rows of the program's own: those in
// the stores made of the same database, and those given as more.
func NewConsents[M, T, C any, P ConsentModel[M], PT TokenModel[T], PC AuthorizationCodeModel[C]](db *gorm.DB, more ...Erasable) (*Consents[M], error) {
	table, err := newTable(db, P(new(M)))
	tokens, tokensErr := NewTokens[T, PT](db)
	codes, codesErr := NewAuthorizationCodes[C, PC](db)
	if err := errors.Join(err, tokensErr, codesErr); err != nil {
		return nil, err
	}
	if err := errors.Join(table.needsUserIndex(), tokens.table.needsUserIndex(), codes.table.needsUserIndex()); err != nil {
		return nil, err
	}
	return &Consents[M]{table, tokens, append(codes.Erased(), tablesOf(more)...)}, nil
}

// Erased returns the table of consents.
func (c *Consents[M]) Erased() []*Table { return []*Table{c.table} }

func consentKey(userID, clientID string) string {
	return secret.Digest(fmt.Sprintf("consent %q %q", userID, clientID))
}

// QueryConsent finds a user's consent to a client. It returns nil when there is none.
func (c *Consents[M]) QueryConsent(ctx context.Context, userID, clientID string) (*models.ConsentMixin, error) {
	row := c.table.newRow()
	found, err := c.table.find(ctx, row, c.table.is("ConsentKey", consentKey(userID, clientID)))
	if err != nil || !found {
		return nil, err
	}
	return row.(consentRow).AsConsentMixin(), nil
}

// SaveConsent stores a consent: a new one if old is nil, otherwise the successor of old.
// If several are stored at once, the unique index or the revision decides which was
// first; saved is false for the others.
func (c *Consents[M]) SaveConsent(ctx context.Context, old, consent *models.ConsentMixin, user storage.User) (saved bool, err error) {
	key := consentKey(user.GetUserID(), consent.GetClientID())
	err = c.table.do(ctx, step{}, func(tx *tx) error {
		saved = false
		if old == nil {
			row := c.table.newRow().(consentRow)
			*row.AsConsentMixin() = *consent
			row.AsConsentMixin().ConsentKey = key
			if err := c.table.userID.set(row, user.GetUserID()); err != nil {
				return err
			}
			saved, err = tx.insertNew(row)
			return err
		}
		changed, err := tx.update(map[string]any{
			"Scope": consent.Scope, "Audience": consent.Audience, "AuthorizationDetails": consent.AuthorizationDetails,
			"Claims": consent.Claims, "GrantedAt": consent.GrantedAt, "PartsGrantedAt": consent.PartsGrantedAt, "Revision": consent.Revision,
		}, c.table.is("ConsentKey", key), c.table.is("Revision", old.Revision))
		saved = changed == 1
		return err
	})
	return saved, err
}

// Of returns a user's consents, the latest first, for a page on which the user can revoke
// them.
func (c *Consents[M]) Of(ctx context.Context, userID string) (consents []*M, err error) {
	theirs, err := c.table.theirs(ctx, userID)
	if err != nil {
		return nil, err
	}
	rows, err := c.table.list(ctx, []clause.Expression{theirs},
		clause.OrderBy{Columns: []clause.OrderByColumn{{Column: column(c.table.column("GrantedAt")), Desc: true}}})
	for _, row := range rows {
		consents = append(consents, row.(*M))
	}
	return consents, err
}

// Revoke removes a consent and, in the same transaction, ends everything issued under it:
// unredeemed codes, device authorizations, tokens, and the tokens that other clients got
// for those by exchange (RFC 8693). A client without a stored consent loses its grants as
// well.
func (c *Consents[M]) Revoke(ctx context.Context, userID, clientID string, now time.Time) error {
	if userID == "" || clientID == "" {
		return errors.New("gormstore: revoking a consent needs the ids of both the user and the client, and one of them is empty")
	}
	ended := int64(0)
	err := c.table.do(ctx, step{several: true}, func(tx *tx) error {
		forgotten, err := tx.remove(c.table.is("ConsentKey", consentKey(userID, clientID)))
		if err != nil {
			return err
		}
		ended, err = c.tokens.grants(c.more...).endWithin(tx, selection{clientID: clientID, userID: userID}, now)
		if ended += forgotten; err != nil || ended == 0 {
			return err
		}
		e := clientEntry(models.AuditConsentRevoked, clientID, now)
		e.userID = userID
		return tx.note(e)
	})
	if err == nil && ended > 0 {
		c.table.tell(ctx, server.Revocation{ClientID: clientID, UserID: userID, Reason: server.RevokedByConsent}, now)
	}
	return err
}

// TellRevocationsTo reports revoked consents to the server's hooks.
func (c *Consents[M]) TellRevocationsTo(s *server.Server) { c.table.TellRevocationsTo(s) }
