package device_test

import (
	"context"

	"github.com/gormoauth/gormoauth/server/device"
	"github.com/gormoauth/gormoauth/server/secret"
)

// A page for support staff looks a device authorization up by its user code.
func ExampleStorage() {
	pending := func(ctx context.Context, storage device.Storage, userCode string) (bool, error) {
		found, err := storage.QueryDeviceCode(ctx, device.Query{UserCode: secret.Digest(userCode)})
		return err == nil && found != nil && !found.DeviceCode.IsApproved() && !found.DeviceCode.IsDenied(), err
	}
	_ = pending
}
