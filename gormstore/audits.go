package gormstore

import (
	"cmp"
	"context"
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
)

// Audits reads the audit trail that the stores of [WithAudit] keep in rows of the
// program's model M.
type Audits[M any, P AuditModel[M]] struct {
	trail   *trail
	options AuditOptions
}

// AuditOptions say how long an audit trail is kept. The zero value keeps it without
// end.
type AuditOptions struct {
	// Retention is how long an entry is kept until [Prune] removes it; 0 is without
	// end.
	Retention time.Duration
}

// forever is longer than there has been a clock.
const forever = time.Duration(math.MaxInt64)

// NewAudits returns the store, or what is wrong with the model or the options.
func NewAudits[M any, P AuditModel[M]](db *gorm.DB, options AuditOptions) (*Audits[M, P], error) {
	if options.Retention < 0 {
		return nil, errors.New("gormstore: AuditOptions.Retention must not be negative; 0 keeps the trail without end")
	}
	t, err := newTrail(db, new(M))
	if err != nil {
		return nil, err
	}
	return &Audits[M, P]{t, options}, nil
}

// AuditQuery says which entries are wanted. Of the fields that are set all have to
// fit; none of them is the whole trail.
type AuditQuery struct {
	// UserID is the user in whose name it happened.
	UserID string
	// ClientID is the client.
	ClientID string
	// GrantID is the grant: all that came of one authorization.
	GrantID string
	// Before is the GetCursor of the last entry of the page before; empty is the first
	// page.
	Before string
	// Limit is how many entries a page has at most; 0 is 100.
	Limit int
}

const defaultAuditLimit = 100

// ErrCursor is returned for an [AuditQuery.Before] that is no cursor.
var ErrCursor = errors.New("gormstore: this is not the cursor of an entry")

// Query returns a page of the trail, the latest entry first. A page that is not full
// is the last.
func (a *Audits[M, P]) Query(ctx context.Context, query AuditQuery) (entries []P, err error) {
	if !storable(query.UserID) || !storable(query.ClientID) || !storable(query.GrantID) {
		return nil, nil
	}
	conditions, err := a.conditions(ctx, query)
	if err != nil {
		return nil, err
	}
	newest := clause.OrderBy{Columns: []clause.OrderByColumn{
		{Column: column(a.trail.columns["OccurredAt"]), Desc: true}, {Column: column(a.trail.columns["AuditKey"]), Desc: true},
	}}
	var rows []M
	err = retry(ctx, func(bool) error {
		rows, err = list[M](a.trail.store, a.trail.store.primary(ctx).Limit(cmp.Or(query.Limit, defaultAuditLimit)), conditions, newest)
		return err
	})
	for i := range rows {
		entries = append(entries, &rows[i])
	}
	return entries, err
}

func (a *Audits[M, P]) conditions(ctx context.Context, query AuditQuery) (conditions []clause.Expression, err error) {
	names := a.trail.columns
	if query.UserID != "" {
		theirs, err := a.trail.store.theirs(ctx, query.UserID)
		if err != nil {
			return nil, err
		}
		conditions = append(conditions, theirs)
	}
	if query.ClientID != "" {
		conditions = append(conditions, eq(names["ClientID"], models.ClientKey(query.ClientID)))
	}
	if query.GrantID != "" {
		conditions = append(conditions, eq(names["GrantID"], query.GrantID))
	}
	if query.Before == "" {
		return conditions, nil
	}
	at, key, err := readCursor(query.Before)
	return append(conditions,
		clause.Lte{Column: column(names["OccurredAt"]), Value: at},
		clause.Or(
			clause.Lt{Column: column(names["OccurredAt"]), Value: at},
			clause.Lt{Column: column(names["AuditKey"]), Value: key},
		)), err
}

var cursorPattern = regexp.MustCompile(`^-?[0-9]{1,18}\.[0-9]{9}[A-Z2-7]{26}$`)

// readCursor reads a cursor, which may be a stranger's.
func readCursor(text string) (at int64, key string, err error) {
	if !cursorPattern.MatchString(text) {
		return 0, "", ErrCursor
	}
	seconds, key, _ := strings.Cut(text, ".")
	at, err = strconv.ParseInt(seconds, 10, 64)
	return at, key, err
}

// storable reports whether a text can be looked for in every database.
func storable(text string) bool { return utf8.ValidString(text) && !strings.Contains(text, "\x00") }

func (a *Audits[M, P]) pruning(grants, time.Time) pruning {
	names := a.trail.columns
	return pruning{
		store: a.trail.store, key: names["AuditKey"], expiresAt: names["OccurredAt"], keep: cmp.Or(a.options.Retention, forever),
	}
}

// erasing leaves the entries and takes out of them who it was: the trail stays whole.
func (a *Audits[M, P]) erasing(time.Time) []erasing {
	names, userID := a.trail.columns, a.trail.store.userID.field
	return []erasing{{store: a.trail.store, key: names["AuditKey"], blank: map[string]any{
		userID.DBName: a.trail.store.nobody(), names["RemoteAddress"]: "", names["AuthorizationDetails"]: "",
	}}}
}
