package oidc

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/reason"
)

// hint is an ID token that is sent as a hint: it may have expired, but the server must have
// signed it.
type hint struct {
	subject  string
	sid      string
	audience []string
}

// readHint reads an id_token_hint. why is the reason if it is not an ID token of this
// server.
func (p *Provider) readHint(ctx context.Context, req *server.Request, text string) (from *hint, why, err error) {
	token, why := assertion.Parse(text, req.Server.SignatureAlgorithms(nil))
	switch {
	case why != nil:
		return nil, why, nil
	case token.Issuer != req.Server.Issuer():
		return nil, reason.New("the ID token was issued by another issuer", slog.String("iss", token.Issuer)), nil
	case token.Type() != "jwt" || token.Subject == "":
		return nil, reason.New("the JWT is not an ID token", slog.String("typ", token.Type())), nil
	}
	keys, err := jwk.PublicKeysFor(ctx, p.Keys, token.KeyID(), req.Time)
	if err != nil {
		return nil, nil, fmt.Errorf("list the public keys: %w", err)
	}
	if why := token.VerifyByKeys(keys); why != nil {
		return nil, why, nil
	}
	h := &hint{subject: token.Subject, audience: token.Audience()}
	if raw, ok := token.Claims["sid"]; ok && strictjson.Unmarshal(raw, &h.sid) != nil {
		return nil, reason.New("the 'sid' of the ID token is not a string"), nil
	}
	return h, nil, nil
}
