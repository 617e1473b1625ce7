package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/server/oidc"
)

// erase removes a user and everything that is stored about them. A server may be running:
//
//	go run ./example erase -user bob -db gormoauth-example.db
func erase(ctx context.Context, cfg *config, stdout io.Writer, log *slog.Logger) error {
	if cfg.user == "" {
		return errors.New("erase needs -user, the name by which the person signs in")
	}
	db, closeDB, err := openDatabase(ctx, cfg.db, log)
	if err != nil {
		return err
	}
	defer closeDB()
	if err := migrate(db.WithContext(ctx)); err != nil {
		return fmt.Errorf("cannot prepare the database: %w", err)
	}
	var user User
	found := db.WithContext(ctx).Where("username = ?", cfg.user).Limit(1).Find(&user)
	if found.Error != nil || found.RowsAffected == 0 {
		return errors.Join(fmt.Errorf("there is nobody called %q", cfg.user), found.Error)
	}
	removed, err := eraseUser(ctx, db, &user)
	if err != nil {
		return fmt.Errorf("cannot erase %s: %w", cfg.user, err)
	}
	_, err = fmt.Fprintf(stdout, "%s is gone, and %d rows about them\n", cfg.user, removed)
	return err
}

// eraseUser first stops what could create new rows: the account and the sessions. It then ends
// the grants, and deletes the user's own rows last.
func eraseUser(ctx context.Context, db *gorm.DB, user *User) (removed int64, err error) {
	db = db.WithContext(ctx)
	if err := db.Model(user).Update("disabled", true).Error; err != nil {
		return 0, err
	}
	sessions := gormoauth.CreateSessionStorage[ClientSession, Logout, Token, AuthorizationCode](db)
	now := time.Now()
	_, err = sessions.EndSession(ctx, oidc.SessionEnd{
		UserID: user.GetUserID(), Time: now, Revokes: func(string) bool { return true }, LogoutExpiresAt: now.Add(24 * time.Hour),
	})
	if err != nil {
		return 0, err
	}
	removed, err = gormoauth.CreateEraseFunc[Token, AuthorizationCode](db, sessions, gormoauth.CreateDeviceCodeStorage[DeviceCode](db),
		gormoauth.CreateConsentStorage[Consent, Token, AuthorizationCode](db),
		gormoauth.CreateAuditStorage[Audit](db, gormstore.AuditOptions{}))(ctx, user.GetUserID())
	if err != nil {
		return removed, err
	}
	var clients []Client
	if err := db.Where("user_id = ?", user.ID).Find(&clients).Error; err != nil {
		return removed, err
	}
	if err := deleteClients(ctx, db, clients); err != nil { // including what others granted to them
		return removed, err
	}
	return removed, db.Delete(user).Error
}
