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
	"github.com/gormoauth/gormoauth/server/device"
	"github.com/gormoauth/gormoauth/server/storage"
)

// DeviceCodeModel is a pointer to a model that embeds models.DeviceCodeMixin.
type DeviceCodeModel[M any] interface {
	*M
	deviceRow
}

type deviceRow interface {
	device.Code
	Described
	AsDeviceCodeMixin() *models.DeviceCodeMixin
}

// DeviceCodes stores device authorizations (RFC 8628) in rows of the program's model; it
// is a [device.Storage]. [Tokens.Save] redeems a device code in the same
// transaction that stores the token it is exchanged for.
type DeviceCodes struct{ table *Table }

// NewDeviceCodes returns the store, or an error that says what is wrong with the model.
func NewDeviceCodes[M any, P DeviceCodeModel[M]](db *gorm.DB) (*DeviceCodes, error) {
	table, err := newTable(db, P(new(M)))
	if err != nil {
		return nil, err
	}
	return &DeviceCodes{table}, nil
}

// Pruned returns the table of device authorizations.
func (d *DeviceCodes) Pruned() []*Table { return []*Table{d.table} }

// Erased returns the table of device authorizations.
func (d *DeviceCodes) Erased() []*Table { return []*Table{d.table} }

// SaveDeviceCode stores a device authorization. It returns [storage.ErrTaken] if one of
// the codes exists already.
func (d *DeviceCodes) SaveDeviceCode(ctx context.Context, record *models.DeviceCodeMixin, _ *server.Request) error {
	return d.table.do(ctx, step{outcome: true, own: d.table.is("DeviceCode", record.DeviceCode)}, func(tx *tx) error {
		row := d.table.newRow().(deviceRow)
		*row.AsDeviceCodeMixin() = *record
		fresh, err := tx.insertNew(row)
		if err == nil && !fresh {
			return storage.ErrTaken
		}
		return err
	})
}

// QueryDeviceCode finds a device authorization by the digest of either code. It returns
// nil when there is none.
func (d *DeviceCodes) QueryDeviceCode(ctx context.Context, query device.Query) (*device.StoredCode, error) {
	condition := d.table.is("DeviceCode", query.DeviceCode)
	if query.DeviceCode == "" {
		condition = d.table.is("UserCode", query.UserCode)
	}
	row := d.table.newRow()
	found, err := d.table.find(ctx, row, condition)
	if err != nil || !found {
		return nil, err
	}
	return &device.StoredCode{DeviceCode: row.(deviceRow), UserID: d.table.userID.get(row)}, nil
}

// patientInterval is the interval, in seconds, that an honest device never has to exceed unless
// clocks differ.
const patientInterval = 20

// PollDeviceCode records that the device polled; of two polls at once, only one is recorded. It
// lengthens the interval by slower if the poll came too soon. Because the clocks of two instances
// may differ, an interval beyond 20 seconds tolerates polls that are early by half of the excess,
// so that it does not grow forever.
func (d *DeviceCodes) PollDeviceCode(ctx context.Context, deviceCode string, now time.Time, slower time.Duration) (tooSoon bool, err error) {
	theirs, last, interval := d.table.is("DeviceCode", deviceCode), column(d.table.column("LastPolledAt")), column(d.table.column("PollInterval"))
	paced := clause.Expr{SQL: "? <= ? - ? + CASE WHEN ? > ? THEN (? - ?) / 2 ELSE 0 END", Vars: []any{last, now.Unix(), interval, interval, patientInterval, interval, patientInterval}}
	noRepeat := clause.Expr{SQL: "? < ?", Vars: []any{last, now.Add(-device.PollRepeat).Unix()}}
	err = d.table.do(ctx, step{}, func(tx *tx) error {
		tooSoon = false
		changed, err := tx.update(map[string]any{"LastPolledAt": now.Unix()}, paced, theirs)
		if err != nil || changed > 0 {
			return err
		}
		changed, err = tx.update(map[string]any{
			"LastPolledAt": now.Unix(), "PollInterval": gorm.Expr("? + ?", interval, int64(slower/time.Second)),
		}, noRepeat, theirs)
		tooSoon = changed > 0
		return err
	})
	return tooSoon, err
}

// errDecided means that a user has already decided on the device authorization, or that
// it has expired.
var errDecided = errors.New("gormstore: the device authorization is already decided")

// DecideDeviceCode stores a user's decision. Of several decisions, only the first counts;
// decided is false for the others, and once the codes have expired.
func (d *DeviceCodes) DecideDeviceCode(ctx context.Context, userCode string, decision device.Decision) (decided bool, err error) {
	theirs, err := d.table.theirs(ctx, decision.User.GetUserID())
	if err != nil {
		return false, err
	}
	at := "DeniedAt"
	if decision.Approved {
		at = "ApprovedAt"
	}
	values := map[string]any{
		at: decision.Time.Unix(), "UserID": theirs.(clause.Eq).Value,
		"AuthTime": decision.Authentication.Time, "ACR": decision.Authentication.ACR, "AMR": strings.Join(decision.Authentication.AMR, " "),
	}
	if decision.UserGeneration != 0 {
		values["UserGeneration"] = decision.UserGeneration
	}
	which := d.table.is("UserCode", userCode)
	err = d.table.do(ctx, step{own: clause.And(which, d.table.is(at, decision.Time.Unix()), theirs), noted: true}, func(tx *tx) error {
		changed, err := tx.update(values, which, d.table.is("ApprovedAt", 0), d.table.is("DeniedAt", 0),
			clause.Gt{Column: column(d.table.column("ExpiresAt")), Value: decision.Time.Unix()})
		switch {
		case err != nil:
			return err
		case changed == 0:
			return errDecided
		case !decision.Approved:
			return nil
		}
		return tx.note(deviceEntry(decision))
	})
	if errors.Is(err, errDecided) {
		return false, nil
	}
	return err == nil, err
}

func deviceEntry(decision device.Decision) entry {
	e := entry{at: decision.Time, userID: decision.User.GetUserID()}
	e.Event = models.AuditAuthorizationGranted
	if device := decision.DeviceCode; device != nil {
		e.ClientID, e.LongClientID = models.SplitClientID(device.GetClientID())
		granted := device.GetGranted()
		e.GrantID, e.Scope, e.Audience, e.AuthorizationDetails = device.GetGrantID(), granted.Scope, granted.Audience, granted.AuthorizationDetails
	}
	return e
}
