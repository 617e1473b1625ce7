package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/doctor"
	"github.com/gormoauth/gormoauth/server/finding"
)

// examine prints what is wrong with the settings and the database, each with its remedy, and
// changes nothing. It returns an error if a finding is grave:
//
//	go run ./example doctor -db gormoauth-example.db
func examine(ctx context.Context, cfg *config, stdout io.Writer, log *slog.Logger) error {
	address, err := net.ResolveTCPAddr("tcp", cfg.addr)
	if err != nil {
		return err
	}
	if err := cfg.resolve(address); err != nil {
		return err
	}
	db, closeDB, err := openDatabase(ctx, cfg.db, log)
	if err != nil {
		return err
	}
	defer closeDB()
	var more []server.DiagnoseHook
	if cfg.outside {
		more = append(more, doctor.Issuer{})
	}
	findings, err := diagnose(ctx, cfg, db, more...)
	if err != nil {
		return err
	}
	if len(findings) == 0 {
		_, err = fmt.Fprintln(stdout, "nothing is wrong")
		return err
	}
	if _, err := io.WriteString(stdout, findings.String()); err != nil {
		return err
	}
	if findings.Err() != nil {
		return errors.New("the doctor found something grave")
	}
	return nil
}

// logFindings logs what the doctor finds, after the start.
func logFindings(ctx context.Context, cfg *config, db *gorm.DB, log *slog.Logger) {
	findings, err := diagnose(ctx, cfg, db)
	if err != nil {
		log.Error("the doctor could not look", "error", err)
		return
	}
	findings.Log(ctx, log)
}

// diagnose requests the pages of a separate app that logs nothing, because the doctor's requests
// do not belong in the log.
func diagnose(ctx context.Context, cfg *config, db *gorm.DB, more ...server.DiagnoseHook) (finding.List, error) {
	app, err := newApp(cfg, db, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	around := doctor.Program{
		Handler: app.routes(),
		Pages:   []string{"/", "/login", "/device", "/oauth/authorize"}, // not the sign-out page, which changes something
		TLS:     cfg.tlsCert != "",
	}
	return gormoauth.Diagnose(ctx, app.oauth, db, allModels(), append(more, around, app.api)...), nil
}
