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
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/reason"
)

// SoftwareStatements verifies software statements (RFC 7591 section 2.3): JWTs in which a
// trusted third party vouches for a client's metadata. Their claims take precedence over
// the metadata that the client sends.
type SoftwareStatements struct {
	// Keys returns the public keys of a trusted issuer, or nil if the issuer is not
	// trusted.
	Keys func(ctx context.Context, issuer string) (*jose.JSONWebKeySet, error)
	// Algorithms are the algorithms with which issuers may sign. nil means all that the
	// server accepts.
	Algorithms []jose.SignatureAlgorithm
	// Required refuses a client without a statement.
	Required bool
}

func (s *SoftwareStatements) check(config *server.Config) error {
	var faults []error
	if s.Keys == nil {
		faults = append(faults, errors.New("endpoint: Registration.SoftwareStatements.Keys is missing: give a function that returns the keys of trusted issuers"))
	}
	return errors.Join(append(faults, jwk.CheckAlgorithms(config.Profile, "endpoint: Registration.SoftwareStatements.Algorithms", s.Algorithms...))...)
}

// applyStatement replaces members by the claims of the software statement.
func (e *Registration) applyStatement(ctx context.Context, req *server.Request, members map[string]json.RawMessage) error {
	statement, ok := text(members, "software_statement")
	delete(members, "software_statement")
	switch {
	case !ok:
		return errInvalidStatement().Because("the 'software_statement' is not a string")
	case statement == "" && (e.SoftwareStatements == nil || !e.SoftwareStatements.Required):
		return nil
	case statement == "":
		return server.NewError(server.InvalidSoftwareStatement, "The request has no 'software_statement'.")
	case e.SoftwareStatements == nil:
		return server.NewError(server.UnapprovedSoftwareStatement, "The server does not accept software statements.")
	}
	claims, err := e.SoftwareStatements.verify(ctx, req, statement)
	if err != nil {
		return err
	}
	leaveOutNull(claims)
	maps.Copy(members, claims)
	return nil
}

// verify returns the claims of a statement whose issuer is trusted.
func (s *SoftwareStatements) verify(ctx context.Context, req *server.Request, statement string) (map[string]json.RawMessage, error) {
	token, err := assertion.Parse(statement, req.Server.SignatureAlgorithms(s.Algorithms))
	if err == nil {
		err = token.CheckType()
	}
	if err == nil && token.Issuer == "" {
		err = reason.New("the JWT has no 'iss'")
	}
	if err != nil {
		return nil, errInvalidStatement().BecauseOf(err)
	}
	keys, err := s.Keys(ctx, token.Issuer)
	if err != nil {
		return nil, fmt.Errorf("find the keys of a software statement's issuer: %w", err)
	}
	if keys == nil {
		return nil, server.NewError(server.UnapprovedSoftwareStatement, "The issuer of the software statement is not trusted.").
			Because("the issuer of the JWT is not trusted", slog.String("iss", token.Issuer))
	}
	if err := cmp.Or(token.VerifyByKeys(keys), token.CheckTimely(req.Time)); err != nil { // it may be valid for years, or for ever
		return nil, errInvalidStatement().BecauseOf(err)
	}
	return token.Claims, nil
}

func errInvalidStatement() *server.Error {
	return server.NewError(server.InvalidSoftwareStatement, "The software statement is not a valid signed JWT.")
}
