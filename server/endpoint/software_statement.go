package endpoint

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/server"
)

// SoftwareStatements verifies what a third party says of a client (RFC 7591
// section 2.3): a signed JWT whose claims take the place of what the client
// says itself.
type SoftwareStatements struct {
	// Keys returns the public keys of an issuer that is trusted, and nil for one
	// that is not.
	Keys func(ctx context.Context, issuer string) (*jose.JSONWebKeySet, error)
	// Algorithms are those by which issuers may sign; nil is all that the server takes.
	Algorithms []jose.SignatureAlgorithm
	// Required refuses a client without a statement.
	Required bool
}

func (s *SoftwareStatements) check(config *server.Config) error {
	var faults []error
	if s.Keys == nil {
		faults = append(faults, errors.New("endpoint: Registration.SoftwareStatements.Keys is missing: whose statements are trusted?"))
	}
	return errors.Join(append(faults, server.CheckAlgorithms(config.Profile, "endpoint: Registration.SoftwareStatements.Algorithms", s.Algorithms...))...)
}

// applyStatement replaces members by what a software statement says.
func (e *Registration) applyStatement(ctx context.Context, req *server.Request, members map[string]json.RawMessage) error {
	statement, ok := text(members, "software_statement")
	delete(members, "software_statement")
	switch {
	case !ok:
		return errInvalidStatement().Because("the 'software_statement' is not a text")
	case statement == "" && (e.SoftwareStatements == nil || !e.SoftwareStatements.Required):
		return nil
	case statement == "":
		return server.NewError(server.InvalidSoftwareStatement, "The request has no 'software_statement'.")
	case e.SoftwareStatements == nil:
		return server.NewError(server.UnapprovedSoftwareStatement, "The server takes no software statements.")
	}
	claims, err := e.SoftwareStatements.verify(ctx, req, statement)
	if err != nil {
		return err
	}
	for _, name := range []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"} {
		delete(claims, name)
	}
	leaveOutNull(claims)
	maps.Copy(members, claims)
	return nil
}

// verify returns the claims of a statement whose issuer is trusted.
func (s *SoftwareStatements) verify(ctx context.Context, req *server.Request, statement string) (map[string]json.RawMessage, error) {
	token, err := server.ParseAssertion(statement, req.Server.SignatureAlgorithms(s.Algorithms))
	if err == nil {
		err = token.CheckType()
	}
	if err == nil && token.Issuer == "" {
		err = server.NewReason("the JWT has no 'iss'")
	}
	if err != nil {
		return nil, errInvalidStatement().BecauseOf(err)
	}
	keys, err := s.Keys(ctx, token.Issuer)
	if err != nil {
		return nil, fmt.Errorf("find the keys of a software statement's issuer: %w", err)
	}
	if keys == nil {
		return nil, server.NewError(server.UnapprovedSoftwareStatement, "The issuer of the software statement is not one that the server trusts.").
			Because("the issuer of the JWT is not trusted", slog.String("iss", token.Issuer))
	}
	if err := cmp.Or(token.VerifyByKeys(keys), token.CheckTimely(req.Time)); err != nil { // it may be good for years, or for ever
		return nil, errInvalidStatement().BecauseOf(err)
	}
	return token.Claims, nil
}

func errInvalidStatement() *server.Error {
	return server.NewError(server.InvalidSoftwareStatement, "The software statement is not a signed JWT that is valid now.")
}
