package gormstore

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// ConsentModel is a pointer to a model that embeds models.ConsentMixin.
type ConsentModel[M any] interface {
	*M
	AsConsentMixin() *models.ConsentMixin
}

// Consents keeps what users have allowed in rows of the program's model M; it is a
// grant.ConsentStorage. A consent that is revoked ends what came of it in the models
// T of tokens and C of codes.
type Consents[M any, P ConsentModel[M], T any, PT TokenModel[T], C any, PC AuthorizationCodeModel[C]] struct {
	store   *store
	columns columns
	tokens  *Tokens[T, PT]
	codes   *AuthorizationCodes[C, PC]
}

// NewConsents returns the store, or what is wrong with the models: what is looked
// for by its user needs an index on UserID.
func NewConsents[M, T, C any, P ConsentModel[M], PT TokenModel[T], PC AuthorizationCodeModel[C]](db *gorm.DB) (*Consents[M, P, T, PT, C, PC], error) {
	s, names, err := newGrantedStore(db, new(M), models.ConsentMixin{})
	tokens, tokensErr := NewTokens[T, PT](db)
	codes, codesErr := NewAuthorizationCodes[C, PC](db)
	if err := errors.Join(err, tokensErr, codesErr); err != nil {
		return nil, err
	}
	if err := errors.Join(s.needsUserIndex(), tokens.store.needsUserIndex(), codes.store.needsUserIndex()); err != nil {
		return nil, err
	}
	return &Consents[M, P, T, PT, C, PC]{s, names, tokens, codes}, nil
}

// needsUserIndex refuses a model in which a user's rows could not be found without
// reading all.
func (s *store) needsUserIndex() error {
	if s.userID.field.PrimaryKey || s.isIndexed(s.userID.field) {
		return nil
	}
	return s.fault("has no index on UserID, by which a user's rows are found; add the tag `gorm:\"index\"`")
}

// isIndexed reports whether the model has an index that begins with the fields.
func (s *store) isIndexed(fields ...*schema.Field) bool {
	return slices.ContainsFunc(s.schema.ParseIndexes(), func(index *schema.Index) bool {
		return len(index.Fields) >= len(fields) && !slices.ContainsFunc(fields, func(field *schema.Field) bool {
			return index.Fields[slices.Index(fields, field)].Field != field
		})
	})
}

func consentKey(userID, clientID string) string {
	return server.Digest(fmt.Sprintf("consent %q %q", userID, clientID))
}

// QueryConsent finds what a user has allowed a client.
func (c *Consents[M, P, T, PT, C, PC]) QueryConsent(ctx context.Context, userID, clientID string) (*models.ConsentMixin, error) {
	row := new(M)
	found, err := c.store.find(ctx, row, eq(c.columns["ConsentKey"], consentKey(userID, clientID)))
	if err != nil || !found {
		return nil, err
	}
	return P(row).AsConsentMixin(), nil
}

// SaveConsent stores a consent. The unique index and the revision decide who was the
// first.
func (c *Consents[M, P, T, PT, C, PC]) SaveConsent(ctx context.Context, old, consent *models.ConsentMixin, user server.User) (saved bool, err error) {
	key := consentKey(user.GetUserID(), consent.GetClientID())
	err = c.store.write(ctx, func(bool) error {
		saved = false
		if old == nil {
			row := new(M)
			*P(row).AsConsentMixin() = *consent
			P(row).AsConsentMixin().ConsentKey = key
			if err := c.store.userID.set(row, user.GetUserID()); err != nil {
				return err
			}
			_, err := c.store.insert(c.store.conn(ctx), row)
			saved = err == nil
			if isDuplicate(err) {
				return nil
			}
			return err
		}
		changed, err := c.store.update(c.store.conn(ctx), new(M), map[string]any{
			c.columns["Scope"]: consent.Scope, c.columns["Audience"]: consent.Audience, c.columns["AuthorizationDetails"]: consent.AuthorizationDetails,
			c.columns["Claims"]: consent.Claims, c.columns["GrantedAt"]: consent.GrantedAt, c.columns["Revision"]: consent.Revision,
		}, eq(c.columns["ConsentKey"], key), eq(c.columns["Revision"], old.Revision))
		saved = err == nil && changed == 1
		return err
	})
	return saved, err
}

// Of returns a user's consents, the latest first, for a page on which they can be
// taken back.
func (c *Consents[M, P, T, PT, C, PC]) Of(ctx context.Context, userID string) (consents []P, err error) {
	theirs, err := c.store.theirs(ctx, userID)
	if err != nil {
		return nil, err
	}
	var rows []M
	err = retry(ctx, func(bool) error {
		rows, err = list[M](c.store, c.store.primary(ctx), []clause.Expression{theirs},
			clause.OrderBy{Columns: []clause.OrderByColumn{{Column: column(c.columns["GrantedAt"]), Desc: true}}})
		return err
	})
	for i := range rows {
		consents = append(consents, &rows[i])
	}
	return consents, err
}

// theirs is true of the rows of a user.
func (s *store) theirs(ctx context.Context, userID string) (clause.Expression, error) {
	if userID == "" {
		return nil, errors.New("gormstore: the user has no id")
	}
	row := reflect.New(s.schema.ModelType)
	if err := s.userID.set(row.Interface(), userID); err != nil {
		return nil, err
	}
	value, _ := s.userID.field.ValueOf(ctx, row.Elem())
	return eq(s.userID.field.DBName, value), nil
}

// nobody is the value of the user's column where there is no user.
func (s *store) nobody() any {
	value, _ := s.userID.field.ValueOf(context.Background(), reflect.New(s.schema.ModelType).Elem())
	return value
}

// Revoke takes a consent back, in one atomic step with all that came of it: codes
// that nobody has redeemed, and tokens. A client that the user never consented to
// loses its tokens all the same.
func (c *Consents[M, P, T, PT, C, PC]) Revoke(ctx context.Context, userID, clientID string, now time.Time) error {
	theirCodes, err := c.codes.store.theirs(ctx, userID)
	if err != nil {
		return err
	}
	theirTokens, err := c.tokens.store.theirs(ctx, userID)
	if err != nil {
		return err
	}
	key := models.ClientKey(clientID)
	return c.store.write(ctx, func(bool) error {
		return atomically(c.store.conn(ctx), func(tx *gorm.DB) error {
			forgotten, err := c.store.remove(tx, eq(c.columns["ConsentKey"], consentKey(userID, clientID)))
			if err != nil {
				return err
			}
			// A code that is redeemed meanwhile is waited for, and its token is seen then.
			voided, err := c.codes.void(tx, now, theirCodes, eq(c.codes.columns["ClientID"], key))
			if err != nil {
				return err
			}
			revoked, err := c.tokens.revokeGrants(tx, now, theirTokens, c.tokens.is("ClientID", key))
			if err != nil || forgotten+voided+revoked == 0 {
				return err
			}
			e := clientEntry(models.AuditConsentRevoked, clientID, now)
			e.userID = userID
			return c.store.trail.note(tx, e)
		})
	})
}
