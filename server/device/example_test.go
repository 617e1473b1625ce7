package device_test

import (
	"context"
	"fmt"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	_ "modernc.org/sqlite"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/device"
	"github.com/gormoauth/gormoauth/server/secret"
)

// DeviceCode is the program's model.
type DeviceCode struct {
	ID     uint
	UserID *uint `gorm:"index"`
	models.DeviceCodeMixin
}

// A page for support staff looks a device authorization up by its user code.
func ExampleStorage() {
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: "file:device?mode=memory&cache=shared"}), &gorm.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := gormoauth.AutoMigrate(db, &DeviceCode{}); err != nil {
		fmt.Println(err)
		return
	}
	var codes device.Storage = gormoauth.CreateDeviceCodeStorage[DeviceCode](db)
	ctx := context.Background()
	record := &models.DeviceCodeMixin{DeviceCode: secret.Digest("device"), UserCode: secret.Digest("BCDFGHJK"), ExpiresAt: time.Now().Add(time.Minute).Unix()}
	if err := codes.SaveDeviceCode(ctx, record, &server.Request{}); err != nil {
		fmt.Println(err)
		return
	}
	for _, userCode := range []string{"BCDFGHJK", "ZZZZZZZZ"} {
		found, err := codes.QueryDeviceCode(ctx, device.Query{UserCode: secret.Digest(userCode)})
		switch {
		case err != nil:
			fmt.Println(err)
		case found == nil:
			fmt.Println(userCode, "does not exist")
		default:
			fmt.Println(userCode, "waits:", !found.DeviceCode.IsApproved() && !found.DeviceCode.IsDenied())
		}
	}
	// Output:
	// BCDFGHJK waits: true
	// ZZZZZZZZ does not exist
}
