package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/schollz/progressbar/v3"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/gormstore"
)

// auditRetention is how long audit entries are kept.
const auditRetention = 2 * 365 * 24 * time.Hour

// prune removes expired tokens and codes. A server may be running:
//
//	go run ./example prune -db gormoauth-example.db
func prune(ctx context.Context, cfg *config, stdout io.Writer, log *slog.Logger) error {
	db, closeDB, err := openDatabase(ctx, cfg.db, log)
	if err != nil {
		return err
	}
	defer closeDB()
	if err := migrate(db.WithContext(ctx)); err != nil {
		return fmt.Errorf("cannot prepare the database: %w", err)
	}
	removed, err := pruneExpired(ctx, db, stdout)
	if err != nil {
		return fmt.Errorf("cannot prune the database: %w", err)
	}
	_, err = fmt.Fprintf(stdout, "%d expired rows removed\n", removed)
	return err
}

func pruneExpired(ctx context.Context, db *gorm.DB, stdout io.Writer) (removed int64, err error) {
	var bar *progressbar.ProgressBar
	sessions := gormoauth.CreateSessionStorage[ClientSession, Logout, Token, AuthorizationCode](db)
	prune := gormoauth.CreatePruneFunc[Token, AuthorizationCode](db,
		gormoauth.CreateDeviceCodeStorage[DeviceCode](db), gormoauth.CreatePushedRequestStorage[PushedRequest](db),
		gormoauth.CreateReplayStorage[Replay](db), gormoauth.CreateSigningKeys[SigningKey](db, gormstore.SigningKeyOptions{}),
		gormoauth.CreateClientRegistrationStorage[Client, Token](db), sessions,
		gormoauth.CreateAuditStorage[Audit](db, gormstore.AuditOptions{Retention: auditRetention}))
	err = prune(ctx, gormstore.PruneOptions{Report: func(p gormstore.PruneProgress) {
		if bar == nil {
			bar = progressbar.NewOptions64(max(p.Expired, 1), progressbar.OptionSetWriter(stdout),
				progressbar.OptionSetDescription("pruning"), progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
		}
		removed = p.Removed
		_ = bar.Set64(min(p.Removed, bar.GetMax64())) // pruning goes on if the bar cannot be drawn
	}})
	if bar != nil {
		_ = bar.Finish()
	}
	return removed, err
}
