package gormstore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/device"
)

// A device that polls too soon has to wait longer from then on. Beyond 20 seconds, half of the excess is not too soon.
func TestWhenADevicePollsTooSoon(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		devices, now := gormoauth.CreateDeviceCodeStorage[oauthtest.DeviceCode](db), time.Unix(1_800_000_000, 0)
		require.NoError(t, devices.SaveDeviceCode(t.Context(), &models.DeviceCodeMixin{DeviceCode: "other", UserCode: "other", PollInterval: 5}, nil))
		for name, c := range map[string]struct {
			interval, ago int64 // ago: 0 for a device that has not polled
			tooSoon       bool
			recorded      bool
		}{
			"the first poll":                      {5, 0, false, true},
			"after the interval":                  {5, 5, false, true},
			"a second before":                     {5, 4, true, true},
			"two seconds after another":           {5, 2, true, true},
			"a repetition":                        {5, 1, false, false},
			"the longest that a device waits for": {20, 20, false, true},
			"a second before that":                {20, 19, true, true},
			"an excess of one second":             {21, 21, false, true},
			"and half of it":                      {21, 20, true, true},
			"an excess of ten seconds":            {30, 25, false, true},
			"and more than half of it":            {30, 24, true, true},
		} {
			require.NoError(t, db.Where("device_code = 'd'").Delete(&oauthtest.DeviceCode{}).Error)
			row := &models.DeviceCodeMixin{DeviceCode: "d", UserCode: "u", PollInterval: c.interval}
			if c.ago > 0 {
				row.LastPolledAt = now.Unix() - c.ago
			}
			require.NoError(t, devices.SaveDeviceCode(t.Context(), row, nil))
			tooSoon, err := devices.PollDeviceCode(t.Context(), "d", now, 7*time.Second)
			require.NoError(t, err)
			var rows []oauthtest.DeviceCode
			require.NoError(t, db.Order("device_code").Find(&rows).Error)
			require.Len(t, rows, 2)
			assert.Equal(t, c.tooSoon, tooSoon, name)
			interval, polled := c.interval, row.LastPolledAt
			if c.tooSoon {
				interval += 7
			}
			if c.recorded {
				polled = now.Unix()
			}
			assert.Equal(t, [2]int64{interval, polled}, [2]int64{rows[0].PollInterval, rows[0].LastPolledAt}, name)
			assert.Equal(t, [2]int64{5, 0}, [2]int64{rows[1].PollInterval, rows[1].LastPolledAt}, name)
		}
	})
}

// The first decision before the codes expire counts, and says who decided.
func TestWhichDecisionOnADeviceCounts(t *testing.T) {
	testdb.Each(t, oauthtest.Models(), func(t *testing.T, db *gorm.DB) {
		devices, now := gormoauth.CreateDeviceCodeStorage[oauthtest.DeviceCode](db), time.Unix(1_800_000_000, 0)
		user := &oauthtest.User{}
		require.NoError(t, db.Create(user).Error)
		seven := int64(7)
		for name, c := range map[string]struct {
			row        models.DeviceCodeMixin
			approved   bool
			generation int64
			decided    bool
		}{
			"approved":                     {models.DeviceCodeMixin{ExpiresAt: now.Unix() + 1}, true, 3, true},
			"by a user without generation": {models.DeviceCodeMixin{ExpiresAt: now.Unix() + 1}, true, 0, true},
			"denied":                       {models.DeviceCodeMixin{ExpiresAt: now.Unix() + 1}, false, 3, true},
			"expired":                      {models.DeviceCodeMixin{ExpiresAt: now.Unix()}, true, 3, false},
			"approved before":              {models.DeviceCodeMixin{ExpiresAt: now.Unix() + 1, ApprovedAt: 1}, false, 3, false},
			"denied before":                {models.DeviceCodeMixin{ExpiresAt: now.Unix() + 1, DeniedAt: 1}, true, 3, false},
		} {
			require.NoError(t, db.Where("device_code = 'd'").Delete(&oauthtest.DeviceCode{}).Error)
			row := c.row
			row.DeviceCode, row.UserCode, row.UserGeneration = "d", "u", &seven
			require.NoError(t, devices.SaveDeviceCode(t.Context(), &row, nil))
			decided, err := devices.DecideDeviceCode(t.Context(), "u", device.Decision{
				User: user, Approved: c.approved, Time: now, UserGeneration: c.generation,
				Authentication: server.Authentication{Time: 11, ACR: "2", AMR: []string{"pwd", "otp"}},
			})
			require.NoError(t, err)
			assert.Equal(t, c.decided, decided, name)
			found, err := devices.QueryDeviceCode(t.Context(), device.Query{UserCode: "u"})
			require.NoError(t, err)
			want, by := row, ""
			if c.decided {
				want.AuthTime, want.ACR, want.AMR, by = 11, "2", "pwd otp", user.GetUserID()
				if c.approved {
					want.ApprovedAt = now.Unix()
				} else {
					want.DeniedAt = now.Unix()
				}
				if c.generation != 0 {
					want.UserGeneration = &c.generation
				}
			}
			assert.Equal(t, want, *found.DeviceCode.(*oauthtest.DeviceCode).AsDeviceCodeMixin(), name)
			assert.Equal(t, by, found.UserID, name)
		}
	})
}
