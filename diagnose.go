package gormoauth

import (
	"context"

	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
	"github.com/gormoauth/gormoauth/server"
)

// Diagnose returns what is wrong with the models, their tables, the database and its
// pool, see [gormstore.DiagnoseFor], and with the server and what is registered with it,
// see [server.Server.Diagnose]. It returns nil when nothing is. The models are those
// that [AutoMigrate] takes; more is what else to look at, such as doctor.Program.
//
// It is meant for every start: it reads only, in some tens of statements. A program
// logs what was found, and does not start on what is grave:
//
//	findings := gormoauth.Diagnose(ctx, srv, db, models, doctor.Program{Handler: mux, Pages: []string{"/login"}})
//	findings.Log(ctx, logger)
//	if err := findings.Err(); err != nil {
//		return err
//	}
func Diagnose(ctx context.Context, srv *server.Server, db *gorm.DB, models []any, more ...server.DiagnoseHook) server.Findings {
	return append(gormstore.DiagnoseFor(ctx, srv, db, models...), srv.Diagnose(ctx, more...)...)
}
