package oidc

import (
	"context"
	"fmt"

	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/server"
)

// hint is an ID token that comes back as a hint: it may have ended, but its
// signature has to be the server's own.
type hint struct {
	subject  string
	sid      string
	audience []string
}

// readHint reads an id_token_hint. It returns nil for what is no ID token of this
// server.
func (p *Provider) readHint(ctx context.Context, req *server.Request, text string) (*hint, error) {
	token := server.ParseAssertion(text, req.Server.SignatureAlgorithms(nil))
	if token == nil || token.Issuer != req.Server.Issuer() || token.Type() != "jwt" || token.Subject == "" {
		return nil, nil
	}
	keys, err := p.Keys.PublicKeys(ctx, req.Time)
	if err != nil {
		return nil, fmt.Errorf("list the public keys: %w", err)
	}
	if !token.VerifiedByKeys(keys) {
		return nil, nil
	}
	h := &hint{subject: token.Subject, audience: token.Audience()}
	if raw, ok := token.Claims["sid"]; ok && strictjson.Unmarshal(raw, &h.sid) != nil {
		return nil, nil
	}
	return h, nil
}
