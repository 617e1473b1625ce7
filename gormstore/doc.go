// Package gormstore keeps clients, codes and tokens in a program's own
// database through GORM. It is generic over the program's own models: any
// struct that embeds a mixin of
// [github.com/gormoauth/gormoauth/models] by value.
//
// Each constructor examines the model once and returns an error that names
// the model, the problem and what to write. Its methods have the signatures
// that package server asks for; the constructors of the root package join the
// two.
//
// # What holds
//
// Only digests reach the database, and the logs of statements with them. What
// may happen once is decided by the number of rows that a conditional update
// changed, inside the transaction that also writes what it was exchanged for,
// and never by an earlier read. A serialization failure, a deadlock or a lost
// connection is tried again, the whole step, until the storage budget of the request is
// used up (two seconds, see [server.StorageBudget]), of a step where there is no request. A
// COMMIT is not cut by that, and a step whose COMMIT was lost finds out that it took effect.
// What does not come right, and what would be refused again, is a [server.ErrUnavailable],
// which clients see as 503 with Retry-After.
//
// # Who did what
//
// The stores of a handle that [WithAudit] returned keep an audit trail: an entry in the
// transaction of each act. [Audits] reads it, page by page, and says how long it is
// kept. Without that option nothing is different: the same statements, one where one
// is enough.
//
// # The caller's database handle
//
// The *gorm.DB is kept as it is given, with its scopes and plugins. Reads ask
// the primary where gorm.io/plugin/dbresolver is in use. A transaction that the
// program has begun is joined through [WithTransaction]; what has to stay when it is rolled
// back is done again by [AfterRollback].
package gormstore
