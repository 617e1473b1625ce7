// Package storage is what the authorization server asks of the program's database: functions that
// look up and store, the rows that they return ([Client], [User], [Token], [AuthorizationCode]),
// and the errors by which they say what happened.
//
// Package gormstore implements it with GORM, and package models has mixins that implement the
// interfaces. Read this package to store somewhere else, or to write a function of your own for
// server.Config.QueryClient, QueryUser, SaveToken or RevokeGrant.
//
// Two rules hold for all functions. Not found is nil without an error. A function that changes
// something decides by the number of rows that its conditional update changed, not by what it read
// before: of two requests that spend one credential, exactly one succeeds, and the other gets
// [ErrSpent].
package storage
