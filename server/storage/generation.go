package storage

import (
	"log/slog"

	"github.com/gormoauth/gormoauth/internal/construct"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/reason"
)

// NotIssued returns the reason for refusing what another issuer issued, see server.Server.Issued.
func NotIssued(authorization models.Authorization) *reason.Reason {
	return reason.New("it was issued under another issuer", slog.String("iss", authorization.Issuer))
}

// Generational is a client or a user all of whose grants can be ended at once. Whatever was
// issued under an earlier generation than the current one is no longer valid.
// [github.com/gormoauth/gormoauth/models.ClientMixin] and
// [github.com/gormoauth/gormoauth/models.UserMixin] implement it.
type Generational interface {
	// GetGeneration returns how often all grants were ended. It never decreases.
	GetGeneration() int64
}

// GenerationOf returns the generation of a client or a user, or 0 if it is not [Generational].
func GenerationOf(of any) int64 {
	if g, ok := of.(Generational); ok && !construct.IsNil(of) {
		return g.GetGeneration()
	}
	return 0
}

// Ended returns why a credential or token with the authorization is no longer valid: all grants
// of its client, or of its user, were ended after it was issued. Otherwise it returns nil. A
// generation of 0 never ends anything: no grants were ended, or the generation is not known.
func Ended(authorization models.Authorization, ofClient, ofUser int64) *reason.Reason {
	switch {
	case authorization.GetClientGeneration() < ofClient:
		return reason.New("all grants of the client were ended after it was issued")
	case authorization.GetUserGeneration() < ofUser:
		return reason.New("all grants of the user were ended after it was issued")
	}
	return nil
}
