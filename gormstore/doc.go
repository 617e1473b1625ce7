// Package gormstore stores clients, codes and tokens in a program's own database through
// GORM. It is generic over the program's own models: any struct that embeds a mixin of
// [github.com/gormoauth/gormoauth/models] by value.
//
// Most programs begin with gormoauth.New and AutoMigrate of the root package, and use this package
// for what those return.
//
// Each constructor examines the model once and returns an error that names the model, the
// problem and the remedy. The methods of a store have the signatures that package server
// expects; the constructors of the root package connect the two.
//
// # Guarantees
//
// Only digests of secrets reach the database, and therefore the logs of statements. Anything
// that may happen only once is decided by the number of rows that a conditional UPDATE
// changed, inside the transaction that also writes the outcome, and never by an earlier
// read. After a serialization failure, a deadlock or a lost connection the whole step is
// tried again, until the storage budget of the request is used up (two seconds, see
// [budget.Of]); outside a request, each step has its own budget. The budget does
// not interrupt a COMMIT, and a step whose COMMIT got no answer finds out whether it took
// effect. When a step still fails after that, or trying again would be pointless, the error
// is a [storage.ErrUnavailable], which clients see as 503 with Retry-After.
//
// # Audit trail
//
// Stores made of a handle that [WithAudit] returned keep an audit trail: each entry is
// written in the same transaction as the change it records. [Audits] reads it page by
// page, and determines how long it is kept. Without an audit trail, no statement or
// transaction is added.
//
// # The caller's database handle
//
// The *gorm.DB is used as it is given, with its scopes and plugins. GORM builds the most
// frequent statements only once, unless a callback, a hook or a condition of the program
// takes part in them. Reads go to the primary where gorm.io/plugin/dbresolver is in use. To
// have the stores join a transaction that the program has begun, use [WithTransaction];
// [AfterRollback] repeats the changes that have to stay even if that transaction is rolled
// back.
package gormstore
