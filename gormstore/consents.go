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

// Consents keeps what users have allowed in rows of the program's model M; it is a
// grant.ConsentStorage.
type Consents[M any] struct {
	table  *Table
	tokens *Tokens
	more   []*Table // of what else becomes tokens
}

// NewConsents returns the store, or what is wrong with the models: what is looked
// for by its user needs an index on UserID. A consent that is revoked ends what came of
// it in the models T of tokens and C of codes.
//
// It ends device authorizations as well, and single-use rows of the program's own: those
// in the stores that were made of the same database, and those that more names.
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
	return server.Digest(fmt.Sprintf("consent %q %q", userID, clientID))
}

// QueryConsent finds what a user has allowed a client.
func (c *Consents[M]) QueryConsent(ctx context.Context, userID, clientID string) (*models.ConsentMixin, error) {
	row := c.table.newRow()
	found, err := c.table.find(ctx, row, c.table.is("ConsentKey", consentKey(userID, clientID)))
	if err != nil || !found {
		return nil, err
	}
	return row.(consentRow).AsConsentMixin(), nil
}

// SaveConsent stores a consent. The unique index and the revision decide who was the
// first.
func (c *Consents[M]) SaveConsent(ctx context.Context, old, consent *models.ConsentMixin, user server.User) (saved bool, err error) {
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
		saved = err == nil && changed == 1
		return err
	})
	return saved, err
}

// Of returns a user's consents, the latest first, for a page on which they can be
// taken back.
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

// Revoke takes a consent back, in one atomic step with all that came of it: codes that
// nobody has redeemed, devices that have not got their tokens, tokens, and what other
// clients got for those by exchange (RFC 8693). A client that the user never consented to
// loses its grants all the same.
func (c *Consents[M]) Revoke(ctx context.Context, userID, clientID string, now time.Time) error {
	if userID == "" || clientID == "" {
		return errors.New("gormstore: a consent to revoke is that of a user to a client, and one of them has no id")
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

// TellRevocationsTo has the server's hooks be told of the consents that are revoked.
func (c *Consents[M]) TellRevocationsTo(s *server.Server) { c.table.TellRevocationsTo(s) }
