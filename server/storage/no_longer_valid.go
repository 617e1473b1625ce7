package storage

import (
	"log/slog"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server/reason"
)

// NotIssued returns the reason for refusing what another issuer issued, see server.Server.Issued.
func NotIssued(authorization models.Authorization) *reason.Reason {
	return reason.New("it was issued under another issuer", slog.String("iss", authorization.Issuer))
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
