package par_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	_ "modernc.org/sqlite"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/par"
	"github.com/gormoauth/gormoauth/server/secret"
)

// PushedRequest is the program's model.
type PushedRequest struct {
	ID uint
	models.PushedRequestMixin
}

// Each pushed request is used once, whoever comes first.
func ExampleStorage() {
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: "file:par?mode=memory&cache=shared"}), &gorm.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := gormoauth.AutoMigrate(db, &PushedRequest{}); err != nil {
		fmt.Println(err)
		return
	}
	var requests par.Storage = gormoauth.CreatePushedRequestStorage[PushedRequest](db)
	ctx, now, digest := context.Background(), time.Now(), secret.Digest("urn:ietf:params:oauth:request_uri:abc")
	record := &models.PushedRequestMixin{RequestURI: digest, ClientID: "app", Parameters: "response_type=code", ExpiresAt: now.Add(time.Minute).Unix()}
	err = requests.SavePushedRequest(ctx, record)
	first, firstErr := requests.UsePushedRequest(ctx, digest, now)
	second, secondErr := requests.UsePushedRequest(ctx, digest, now)
	fmt.Println(first, second, errors.Join(err, firstErr, secondErr))
	// Output: true false <nil>
}
