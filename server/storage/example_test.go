package storage_test

import (
	"context"
	"database/sql"
	"errors"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Users that are in another database, or in a table that GORM does not know.
func ExampleQueryUserFunc() {
	var db *sql.DB // opened by the program
	_ = server.Config{
		QueryUser: func(ctx context.Context, userID string) (storage.User, error) {
			var disabled bool
			err := db.QueryRowContext(ctx, "SELECT disabled FROM staff WHERE id = $1", userID).Scan(&disabled)
			switch {
			case errors.Is(err, sql.ErrNoRows) || err == nil && disabled:
				return nil, nil // not found
			case err != nil:
				return nil, err // a storage failure
			}
			return storage.UserID(userID), nil
		},
	}
}
