// Package doctor finds problems around a server: with the pages and cookies of the program,
// with the proxies in front of it, and with what clients see of it from outside.
//
//	findings := gormoauth.Diagnose(ctx, srv, db, models,
//		doctor.Program{Handler: mux, Pages: []string{"/login"}})
//
// Each of its types is a [server.DiagnoseHook]. They send requests as a browser or a client
// would, with methods that change nothing.
package doctor
