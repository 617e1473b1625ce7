// Package models holds the mixins: structs that a program embeds in its own GORM models
// to give them the columns and methods of an OAuth 2.1 client, token or authorization
// code, or of anything else a server stores: device codes, pushed requests, signing keys,
// consents, sessions at clients, and an audit trail.
//
//	type Client struct {
//		ID     uint
//		UserID uint
//		models.ClientMixin
//	}
//
// A model that embeds a mixin needs nothing else. The table name, primary key, user id,
// relations, hooks and further columns remain up to the program.
//
// # Overriding
//
// The engine calls a model only through interfaces, so a method declared on the program's
// model overrides the mixin's. Go has no virtual dispatch: the mixin's own methods read
// the mixin's columns and never call one another, so override the method that the engine
// calls (CheckRedirectURI, not GetRedirectURIs).
//
// # Columns
//
// Names and meanings follow the SQLAlchemy mixins of Authlib, so an existing Authlib
// table can be used as it is: a migration adds the new columns and keeps the existing
// ones. Times are Unix seconds. Anything that a client presents as proof (a secret, token
// or code) is stored as a digest.
package models
