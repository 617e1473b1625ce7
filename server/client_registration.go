package server

import (
	"github.com/gormoauth/gormoauth/models"
)

// RegisteredClient is a stored client that can be registered dynamically (RFC 7591, RFC 7592).
// [github.com/gormoauth/gormoauth/models.ClientMixin] implements all of it.
type RegisteredClient interface {
	Client
	AsClientMixin() *models.ClientMixin
}
