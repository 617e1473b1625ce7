package server

import (
	"github.com/gormoauth/gormoauth/server/secret"
)

// GenerateSecret returns a new secret with the server's prefix.
func (s *Server) GenerateSecret(kind secret.Kind) string {
	return secret.Generate(s.config.TokenPrefix, kind)
}

// GenerateCode returns a new code of the grant, to be exchanged for a token, and the form in
// which it is stored. grantSecret must have at least 128 random bits, such as rand.Text().
func (s *Server) GenerateCode(kind secret.Kind, grantSecret string) (code string, presented secret.Presented) {
	code = secret.Bind(secret.Own(s.config.TokenPrefix, kind), grantSecret)
	return code, secret.Present(code)
}
