// Package models holds the mixins: structs that a program embeds in its own
// GORM models to give them the columns and methods of an OAuth 2.1 client,
// token and authorization code, and of what else a server keeps: device codes,
// pushed requests, signing keys, consents, sessions at clients, and an audit trail.
//
//	type Client struct {
//		ID     uint
//		UserID uint
//		models.ClientMixin
//	}
//
// A model that embeds a mixin needs nothing else. Table name, primary key,
// user id, relations, hooks and further columns stay the program's own.
//
// # Overriding
//
// The engine asks everything of a model through an interface, so a method
// that the program's model declares itself wins over the mixin's. Go has no
// virtual dispatch: the mixin's own methods read the mixin's columns and never
// call one another, so override the method that the engine asks
// (CheckRedirectURI, not GetRedirectURIs).
//
// # Columns
//
// Names and meanings follow the SQLAlchemy mixins of Authlib, so that a table
// made by them can be taken over: a migration adds what is new and keeps what
// is there. Times are Unix seconds. Whatever a client presents as proof
// (secret, token, code) is stored as a digest.
package models
