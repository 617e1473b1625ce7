package gormstore

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// DeviceCodeModel is a pointer to a model that embeds models.DeviceCodeMixin.
type DeviceCodeModel[M any] interface {
	*M
	server.DeviceCode
	AsDeviceCodeMixin() *models.DeviceCodeMixin
}

// DeviceCodes keeps device authorizations (RFC 8628) in rows of the program's
// model M; it is a [server.DeviceCodeStorage]. They are redeemed by
// [Tokens.Save], together with the token that they are exchanged for.
type DeviceCodes[M any, P DeviceCodeModel[M]] struct {
	store   *store
	columns columns
}

// NewDeviceCodes returns the store, or what is wrong with the model.
func NewDeviceCodes[M any, P DeviceCodeModel[M]](db *gorm.DB) (*DeviceCodes[M, P], error) {
	s, names, err := newGrantedStore(db, new(M), models.DeviceCodeMixin{})
	if err != nil {
		return nil, err
	}
	return &DeviceCodes[M, P]{s, names}, nil
}

// SaveDeviceCode stores a device authorization.
func (d *DeviceCodes[M, P]) SaveDeviceCode(ctx context.Context, record *models.DeviceCodeMixin, _ *server.Request) error {
	err := d.store.once(ctx, eq(d.columns["DeviceCode"], record.DeviceCode), func(db *gorm.DB) error {
		row := new(M)
		*P(row).AsDeviceCodeMixin() = *record
		_, err := d.store.insert(db, row)
		return err
	})
	if isDuplicate(err) {
		return errors.Join(server.ErrTaken, err)
	}
	return err
}

// QueryDeviceCode finds a device authorization by the digest of either code.
func (d *DeviceCodes[M, P]) QueryDeviceCode(ctx context.Context, query server.DeviceCodeQuery) (*server.StoredDeviceCode, error) {
	condition := eq(d.columns["DeviceCode"], query.DeviceCode)
	if query.DeviceCode == "" {
		condition = eq(d.columns["UserCode"], query.UserCode)
	}
	row := new(M)
	found, err := d.store.find(ctx, row, condition)
	if err != nil || !found {
		return nil, err
	}
	return &server.StoredDeviceCode{DeviceCode: P(row), UserID: d.store.userID.get(row)}, nil
}

// PollDeviceCode notes that the device asked. Of two polls at once, one is noted.
func (d *DeviceCodes[M, P]) PollDeviceCode(ctx context.Context, deviceCode string, now time.Time, slower time.Duration) (tooSoon bool, err error) {
	last, interval := column(d.columns["LastPolledAt"]), column(d.columns["PollInterval"])
	paced := clause.Expr{SQL: "? <= ? - ?", Vars: []any{last, now.Unix(), interval}}
	noRepeat := clause.Expr{SQL: "? < ?", Vars: []any{last, now.Add(-server.DevicePollRepeat).Unix()}}
	err = d.store.write(ctx, func(bool) error {
		tooSoon = false
		asked := map[string]any{d.columns["LastPolledAt"]: now.Unix()}
		changed, err := d.update(ctx, asked, deviceCode, paced)
		if err != nil || changed > 0 {
			return err
		}
		asked[d.columns["PollInterval"]] = gorm.Expr("? + ?", interval, int64(slower/time.Second))
		changed, err = d.update(ctx, asked, deviceCode, noRepeat)
		tooSoon = changed > 0
		return err
	})
	return tooSoon, err
}

func (d *DeviceCodes[M, P]) update(ctx context.Context, values map[string]any, deviceCode string, conditions ...clause.Expression) (int64, error) {
	return d.store.update(d.store.conn(ctx), new(M), values, append(conditions, eq(d.columns["DeviceCode"], deviceCode))...)
}

// errDecided is for a device on which somebody has decided.
var errDecided = errors.New("gormstore: the device authorization was decided before")

// DecideDeviceCode stores a user's decision. Of any number of decisions, one
// counts.
func (d *DeviceCodes[M, P]) DecideDeviceCode(ctx context.Context, userCode string, decision server.DeviceDecision) (decided bool, err error) {
	row := new(M)
	if err := d.store.userID.set(row, decision.User.GetUserID()); err != nil {
		return false, err
	}
	userID, _ := d.store.userID.field.ValueOf(ctx, reflect.ValueOf(row).Elem())
	at := d.columns["DeniedAt"]
	if decision.Approved {
		at = d.columns["ApprovedAt"]
	}
	values := map[string]any{at: decision.Time.Unix(), d.store.userID.field.DBName: userID,
		d.columns["AuthTime"]: decision.Authentication.Time, d.columns["ACR"]: decision.Authentication.ACR,
		d.columns["AMR"]: strings.Join(decision.Authentication.AMR, " ")}
	theirs := eq(d.columns["UserCode"], userCode)
	own := clause.And(theirs, eq(at, decision.Time.Unix()), eq(d.store.userID.field.DBName, userID))
	err = d.store.act(ctx, own, func(db *gorm.DB) error {
		changed, err := d.store.update(db, new(M), values, theirs,
			eq(d.columns["ApprovedAt"], 0), eq(d.columns["DeniedAt"], 0),
			clause.Gt{Column: column(d.columns["ExpiresAt"]), Value: decision.Time.Unix()})
		switch {
		case err != nil:
			return err
		case changed == 0:
			return errDecided
		case !decision.Approved:
			return nil
		}
		return d.store.trail.note(db, deviceEntry(decision))
	})
	if errors.Is(err, errDecided) {
		return false, nil
	}
	return err == nil, err
}

func deviceEntry(decision server.DeviceDecision) entry {
	e := entry{at: decision.Time, userID: decision.User.GetUserID()}
	e.Event = models.AuditAuthorizationGranted
	if device := decision.DeviceCode; device != nil {
		e.ClientID, e.LongClientID = models.SplitClientID(device.GetClientID())
		e.GrantID, e.Scope, e.Audience, e.AuthorizationDetails = device.GetGrantID(), device.GetScope(), device.GetAudience(), device.GetAuthorizationDetails()
	}
	return e
}
