package gormstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"reflect"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// AuditModel is a pointer to a model that embeds models.AuditMixin.
type AuditModel[M any] interface {
	*M
	AsAuditMixin() *models.AuditMixin
}

// WithAudit returns a handle of which every store keeps an audit trail in rows of the
// program's model M: who granted, refreshed, revoked and registered what. Make all
// stores of it. It returns what is wrong with the model, which needs an index on
// UserID and the time, see models.AuditMixin.
//
// An entry is written in the transaction of what it tells of, so that there is never
// one without the other: an exchange that is one statement becomes a transaction of
// that and of one INSERT. Who asked, from where and at which endpoint is known from
// the context, in which the server carries its request; a page of the program's own
// gets one by [server.Server.PageContext]. What changed nothing leaves no entry, nor
// does what was refused, but for a credential that was presented again: that revokes
// its grant. A revocation by its grant alone names no user and no client, if the
// context does not; earlier entries of the same grant do.
func WithAudit[M any, P AuditModel[M]](db *gorm.DB) (*gorm.DB, error) {
	t, err := newTrail(db, new(M))
	if err != nil {
		return nil, err
	}
	return db.Set(trailSetting, t).Session(&gorm.Session{}), nil
}

// trailSetting is where a handle carries its trail.
const trailSetting = "gormoauth:audit_trail"

// trailOf returns the trail that the stores of a handle keep, nil for none.
func trailOf(db *gorm.DB) *trail {
	value, _ := db.Get(trailSetting)
	t, _ := value.(*trail)
	return t
}

// trail writes the entries of an audit trail. A nil trail keeps none.
type trail struct {
	store   *store
	columns columns
}

func newTrail(db *gorm.DB, model any) (*trail, error) {
	s, names, err := newGrantedStore(db, model, models.AuditMixin{})
	if err != nil {
		return nil, err
	}
	if !s.isIndexed(s.userID.field, s.schema.FieldsByDBName[names["OccurredAt"]]) {
		return nil, s.fault("has no index on UserID and OccurredAt, by which a user's entries are found; add the tag `gorm:\"index:,composite:user,priority:1\"` to UserID")
	}
	return &trail{s, names}, nil
}

// entry is what an act leaves in the trail. What the act does not say, the request
// does in whose context it runs.
type entry struct {
	models.AuditMixin
	userID string
	at     time.Time // the zero time is that of the request, or now
}

// clientEntry is an entry about a client.
func clientEntry(event, clientID string, at time.Time) entry {
	e := entry{at: at}
	e.Event = event
	e.ClientID, e.LongClientID = models.SplitClientID(clientID)
	return e
}

type begunKey struct{}

// together runs a step and what it notes in one transaction. Without a trail the step
// runs on the handle as it is.
func (t *trail) together(db *gorm.DB, step func(db *gorm.DB) error) error {
	if t == nil {
		return step(db)
	}
	return db.Transaction(func(tx *gorm.DB) error {
		return step(tx.WithContext(context.WithValue(db.Statement.Context, begunKey{}, true)))
	})
}

// isBegun reports whether a handle is of the transaction of [trail.together], all of
// which fails when something in it does.
func isBegun(db *gorm.DB) bool { return db.Statement.Context.Value(begunKey{}) != nil }

// entriesAtOnce is how many entries one statement inserts at most.
const entriesAtOnce = 100

// note writes entries, on the handle of the transaction of what they tell of.
func (t *trail) note(tx *gorm.DB, entries ...entry) error {
	if t == nil {
		return nil
	}
	ctx := tx.Statement.Context
	req := server.RequestFromContext(ctx)
	conn := t.store.conn(WithTransaction(ctx, tx))
	for len(entries) > 0 {
		some := entries[:min(entriesAtOnce, len(entries))]
		entries = entries[len(some):]
		rows := reflect.New(reflect.SliceOf(reflect.PointerTo(t.store.schema.ModelType)))
		for _, e := range some {
			row, err := t.row(e, req)
			if err != nil {
				return err
			}
			rows.Elem().Set(reflect.Append(rows.Elem(), row))
		}
		if _, err := t.store.insert(conn, rows.Interface()); err != nil {
			return fmt.Errorf("gormstore: write the audit trail: %w", err)
		}
	}
	return nil
}

// row is an entry as a row of the program's model.
func (t *trail) row(e entry, req *server.Request) (reflect.Value, error) {
	if req != nil {
		e.complete(req)
	}
	if e.at.IsZero() {
		e.at = time.Now()
	}
	e.OccurredAt = e.at.Unix()
	e.AuditKey = fmt.Sprintf("%09d%s", e.at.Nanosecond(), rand.Text())
	row := reflect.New(t.store.schema.ModelType)
	*row.Interface().(interface{ AsAuditMixin() *models.AuditMixin }).AsAuditMixin() = e.AuditMixin
	return row, t.store.userID.set(row.Interface(), e.userID)
}

// Of what a request says, so much is kept.
const (
	maxAuditName      = 64
	maxAuditAddress   = 64
	maxAuditGrantType = 100
)

// complete fills in what the act itself did not say.
func (e *entry) complete(req *server.Request) {
	e.Endpoint = bounded(req.Endpoint, maxAuditName)
	if req.Server != nil && req.HTTP != nil {
		e.RemoteAddress = bounded(req.Server.RemoteAddress(req.HTTP), maxAuditAddress)
	}
	if e.ClientID == "" && req.Client != nil {
		e.ClientID, e.LongClientID = models.SplitClientID(req.Client.GetClientID())
	}
	if e.at.IsZero() {
		e.at = req.Time
	}
	switch {
	case e.userID != "":
	case !server.IsNilUser(req.User):
		e.userID = req.User.GetUserID()
	case req.Credential != nil:
		e.userID = req.Credential.UserID
	}
	if req.Reuse {
		e.Reason = models.AuditByReuse
	}
}

// bounded is a text that may be a stranger's, as a column can hold it.
func bounded(text string, longest int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, ""), "\x00", "")
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "")
}
