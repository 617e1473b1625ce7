package gormstore

import (
	"crypto/rand"
	"fmt"
	"reflect"
	"slices"
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

// WithAudit returns a handle whose stores keep an audit trail in rows of the program's
// model M: who granted, refreshed, revoked and registered what. Make all stores of that
// handle. The error says what is wrong with the model, which needs an index on UserID and
// the time (see models.AuditMixin).
//
// Each entry is written in the same transaction as the change it records: an exchange
// that is a single statement without an audit trail becomes a transaction of that
// statement and one INSERT. What the call itself does not give (the user, the client, the
// remote address and the endpoint) is taken from the request in the context, which the
// server puts there; for a page of the program's own, use [server.Server.PageContext].
// There is no entry for a call that changed nothing or was refused, except when a spent
// credential is presented again, because that revokes its grant. The entry of a
// revocation by grant id alone names no user and no client unless the context does;
// earlier entries of the same grant do.
func WithAudit[M any, P AuditModel[M]](db *gorm.DB) (*gorm.DB, error) {
	t, err := newTrail(db, P(new(M)))
	if err != nil {
		return nil, err
	}
	return db.Set(trailSetting, t).Session(&gorm.Session{}), nil
}

// trailSetting is the GORM setting in which a handle carries its trail.
const trailSetting = "gormoauth:audit_trail"

// trailOf returns the trail that the stores of a handle keep; nil if there is none.
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
		return nil, table.fault("has no index on UserID and OccurredAt, which the query for a user's entries needs; add the tag `gorm:\"index:,composite:user,priority:1\"` to UserID")
	}
	return &trail{table}, nil
}

// entry is one entry in the trail. What it leaves empty is filled in from the request in
// the context.
type entry struct {
	models.AuditMixin
	userID string
	at     time.Time // the zero value means the time of the request, or now
}

// clientEntry returns an entry about a client.
func clientEntry(event, clientID string, at time.Time) entry {
	e := entry{at: at}
	e.Event = event
	e.ClientID, e.LongClientID = models.SplitClientID(clientID)
	return e
}

// entriesAtOnce is the maximum number of entries that one statement inserts.
const entriesAtOnce = 100

// note writes entries in the transaction of the change they record.
func (t *trail) note(tx *tx, entries ...entry) error {
	req := server.RequestFromContext(tx.db.Statement.Context)
	tx = tx.on(t.table)
	for some := range slices.Chunk(entries, entriesAtOnce) {
		rows := reflect.New(reflect.SliceOf(reflect.PointerTo(t.table.schema.ModelType)))
		for _, e := range some {
			row, err := t.row(tx.tries, e, req)
			if err != nil {
				return err
			}
			rows.Elem().Set(reflect.Append(rows.Elem(), reflect.ValueOf(row)))
		}
		if err := write(tx, rows); err != nil {
			return fmt.Errorf("gormstore: write the audit trail: %w", err)
		}
	}
	return nil
}

// write inserts entries. After a lost connection they may be there already, if the change that they
// record is one that may be repeated.
func write(tx *tx, rows reflect.Value) error {
	if !tx.lost {
		_, err := tx.insert(rows.Interface())
		return err
	}
	for _, row := range rows.Elem().Seq2() {
		if _, err := tx.insertNew(row.Interface()); err != nil {
			return err
		}
	}
	return nil
}

// entryKey returns the key of the next audit entry of an attempt. Every attempt of a step uses the
// same keys, so that an entry of an earlier attempt that got no answer is recognized.
func (t *tries) entryKey(at time.Time) string {
	if t.entries == "" {
		t.entries = rand.Text()[:22] // 110 bits
	}
	t.noted++
	return fmt.Sprintf("%09d%s%04d", at.Nanosecond(), t.entries, t.noted)
}

// row returns an entry as a row of the program's model.
func (t *trail) row(tries *tries, e entry, req *server.Request) (auditRow, error) {
	if req != nil {
		e.complete(req)
	}
	if e.at.IsZero() {
		if tries.notedAt.IsZero() {
			tries.notedAt = time.Now()
		}
		e.at = tries.notedAt
	}
	e.OccurredAt = e.at.Unix()
	e.AuditKey = tries.entryKey(e.at)
	row := t.table.newRow().(auditRow)
	*row.AsAuditMixin() = e.AuditMixin
	return row, t.table.userID.set(row, e.userID)
}

// The maximum lengths, in bytes, of the values taken from a request.
const (
	maxAuditName      = 64
	maxAuditAddress   = 64
	maxAuditGrantType = 100
)

// complete fills in what the entry leaves empty from the request.
func (e *entry) complete(req *server.Request) {
	e.Endpoint = bounded(req.Endpoint, maxAuditName)
	if req.Server != nil && req.HTTP != nil {
		e.RemoteAddress = bounded(req.RemoteAddress(), maxAuditAddress)
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

// bounded makes a string of unknown origin fit for a column.
func bounded(text string, longest int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, ""), "\x00", "")
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "")
}
