package gormoauth

import (
	"context"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/finding"
)

// Diagnose returns the problems of the models, their tables, the database and its pool, see
// [gormstore.DiagnoseFor], and of the server and everything registered with it, see
// [server.Server.Diagnose]. It returns nil if there are none. The models are those passed to
// [AutoMigrate]; more are further checks, such as doctor.Program.
//
// Call it at every start: it only reads, with a few dozen statements. Log the findings, and do
// not start the server if some are grave:
//
//	findings := gormoauth.Diagnose(ctx, srv, db, models, doctor.Program{Handler: mux, Pages: []string{"/login"}})
//	findings.Log(ctx, logger)
//	if err := findings.Err(); err != nil {
//		return err
//	}
func Diagnose(ctx context.Context, srv *server.Server, db *gorm.DB, models []any, more ...server.DiagnoseHook) finding.List {
	return append(gormstore.DiagnoseFor(ctx, srv, db, models...), srv.Diagnose(ctx, more...)...)
}
