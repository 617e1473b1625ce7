package gormstore

import (
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
	auditRow
}

type auditRow interface {
	Described
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
	t, err := newTrail(db, P(new(M)))
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

// trail writes the entries of an audit trail.
type trail struct{ table *Table }

func newTrail(db *gorm.DB, model auditRow) (*trail, error) {
	table, err := newTable(db, model)
	if err != nil {
		return nil, err
	}
	if !table.isIndexed(table.userID.field, table.schema.FieldsByDBName[table.column("OccurredAt")]) {
		return nil, table.fault("has no index on UserID and OccurredAt, by which a user's entries are found; add the tag `gorm:\"index:,composite:user,priority:1\"` to UserID")
	}
	return &trail{table}, nil
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

// entriesAtOnce is how many entries one statement inserts at most.
const entriesAtOnce = 100

// note writes entries, in the transaction of what they tell of.
func (t *trail) note(tx *tx, entries ...entry) error {
	req := server.RequestFromContext(tx.db.Statement.Context)
	tx = tx.on(t.table)
	for len(entries) > 0 {
		some := entries[:min(entriesAtOnce, len(entries))]
		entries = entries[len(some):]
		rows := reflect.New(reflect.SliceOf(reflect.PointerTo(t.table.schema.ModelType)))
		for _, e := range some {
			row, err := t.row(e, req)
			if err != nil {
				return err
			}
			rows.Elem().Set(reflect.Append(rows.Elem(), reflect.ValueOf(row)))
		}
		if _, err := tx.insert(rows.Interface()); err != nil {
			return fmt.Errorf("gormstore: write the audit trail: %w", err)
		}
	}
	return nil
}

// row is an entry as a row of the program's model.
func (t *trail) row(e entry, req *server.Request) (auditRow, error) {
	if req != nil {
		e.complete(req)
	}
	if e.at.IsZero() {
		e.at = time.Now()
	}
	e.OccurredAt = e.at.Unix()
	e.AuditKey = fmt.Sprintf("%09d%s", e.at.Nanosecond(), rand.Text())
	row := t.table.newRow().(auditRow)
	*row.AsAuditMixin() = e.AuditMixin
	return row, t.table.userID.set(row, e.userID)
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
