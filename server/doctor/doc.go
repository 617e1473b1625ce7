// Package doctor finds what is wrong around a server: with the pages and cookies of
// the program, with the proxies before it, and with what clients see of it from
// outside.
//
//	findings := gormoauth.Diagnose(ctx, srv, db, models,
//		doctor.Program{Handler: mux, Pages: []string{"/login"}})
//
// Each of its types is a [server.DiagnoseHook]. They ask as a browser or a client
// would, by methods that change nothing.
package doctor
