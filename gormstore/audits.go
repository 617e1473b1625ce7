package gormstore

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
)

// Audits reads the audit trail that stores made of a handle of [WithAudit] keep in rows
// of the program's model M.
type Audits[M any] struct{ table *Table }

// AuditOptions say how long an audit trail is kept. The zero value keeps it forever.
type AuditOptions struct {
	// Retention is how long an entry is kept until [Prune] removes it; 0 means forever.
	Retention time.Duration
}

// NewAudits returns a reader of the audit trail, or an error that says what is wrong with
// the model or the options.
func NewAudits[M any, P AuditModel[M]](db *gorm.DB, options AuditOptions) (*Audits[M], error) {
	if options.Retention < 0 {
		return nil, errors.New("gormstore: AuditOptions.Retention must not be negative; 0 keeps the trail forever")
	}
	t, err := newTrail(db, P(new(M)))
	if err != nil {
		return nil, err
	}
	if options.Retention > 0 {
		t.table.about.ExpiresAt, t.table.keep = "OccurredAt", options.Retention
	}
	return &Audits[M]{t.table}, nil
}

// Pruned returns the table of the trail.
func (a *Audits[M]) Pruned() []*Table { return []*Table{a.table} }

// Erased returns the table of the trail. Its entries are kept, without the user.
func (a *Audits[M]) Erased() []*Table { return []*Table{a.table} }

// AuditQuery selects the entries that match all of its non-empty fields. The zero value
// selects the whole trail.
type AuditQuery struct {
	// UserID is the user on whose behalf it happened.
	UserID string
	// ClientID is the client's identifier.
	ClientID string
	// GrantID is the grant: it selects everything that descends from one authorization.
	GrantID string
	// Before is the GetCursor of the last entry of the previous page; empty for the first
	// page.
	Before string
	// Limit is the maximum number of entries of a page; 0 means 100.
	Limit int
}

const defaultAuditLimit = 100

// ErrCursor is returned for an [AuditQuery.Before] that is not a cursor.
var ErrCursor = errors.New("gormstore: this is not the cursor of an audit entry")

// Query returns a page of the trail, the latest entry first, and nothing when no entry
// matches. A page with fewer entries than the limit is the last.
func (a *Audits[M]) Query(ctx context.Context, query AuditQuery) (entries []*M, err error) {
	if !storable(query.UserID) || !storable(query.ClientID) || !storable(query.GrantID) {
		return nil, nil
	}
	conditions, err := a.conditions(ctx, query)
	if err != nil {
		return nil, err
	}
	newest := clause.OrderBy{Columns: []clause.OrderByColumn{
		{Column: column(a.table.column("OccurredAt")), Desc: true}, {Column: column(a.table.column("AuditKey")), Desc: true},
	}}
	limit := cmp.Or(query.Limit, defaultAuditLimit)
	rows, err := a.table.list(ctx, conditions, newest, clause.Limit{Limit: &limit})
	for _, row := range rows {
		entries = append(entries, row.(*M))
	}
	return entries, err
}

func (a *Audits[M]) conditions(ctx context.Context, query AuditQuery) (conditions []clause.Expression, err error) {
	if query.UserID != "" {
		theirs, err := a.table.theirs(ctx, query.UserID)
		if err != nil {
			return nil, err
		}
		conditions = append(conditions, theirs)
	}
	if query.ClientID != "" {
		conditions = append(conditions, a.table.is("ClientID", models.ClientKey(query.ClientID)))
	}
	if query.GrantID != "" {
		conditions = append(conditions, a.table.is("GrantID", query.GrantID))
	}
	if query.Before == "" {
		return conditions, nil
	}
	at, key, err := readCursor(query.Before)
	occurredAt := column(a.table.column("OccurredAt"))
	return append(conditions,
		clause.Lte{Column: occurredAt, Value: at},
		clause.Or(
			clause.Lt{Column: occurredAt, Value: at},
			clause.Lt{Column: column(a.table.column("AuditKey")), Value: key},
		)), err
}

var cursorPattern = regexp.MustCompile(`^-?[0-9]{1,18}\.[0-9]{9}[A-Z2-7]{26}$`)

// readCursor reads a cursor, which may come from anyone.
func readCursor(text string) (at int64, key string, err error) {
	if !cursorPattern.MatchString(text) {
		return 0, "", ErrCursor
	}
	seconds, key, _ := strings.Cut(text, ".")
	at, err = strconv.ParseInt(seconds, 10, 64)
	return at, key, err
}

// storable reports whether every database can search for the string.
func storable(text string) bool { return utf8.ValidString(text) && !strings.Contains(text, "\x00") }
