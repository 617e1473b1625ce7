package grant

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/clientjwt"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/jwk"
)

// JARM lets clients request authorization responses as signed JWTs (JWT Secured
// Authorization Response Mode for OAuth 2.0), with response_mode "jwt", "query.jwt",
// "fragment.jwt" or "form_post.jwt". A signed response cannot be changed in transit, and
// the response of another server cannot be passed off as this server's. Register it for
// every request.
//
// A client's metadata selects how its responses are signed and encrypted:
// authorization_signed_response_alg, authorization_encrypted_response_alg and
// authorization_encrypted_response_enc. By default they are signed with RS256, or with the
// first of Algorithms if RS256 is not among them.
type JARM struct {
	// Keys sign the responses.
	Keys jwk.SigningKeys
	// Algorithms are the algorithms that a client may choose from. nil means all algorithms
	// of Keys, or RS256 if Keys does not list its algorithms.
	Algorithms []jose.SignatureAlgorithm
	// Fetcher fetches the encryption keys of clients with a jwks_uri. nil refuses to
	// encrypt for those clients.
	Fetcher *fetch.Fetcher
}

// jarmLife is how long a response is valid.
const jarmLife = 10 * time.Minute

func (j *JARM) answer(s *server.Server) clientjwt.Answer {
	return clientjwt.Answer{Called: "authorization", Keys: j.Keys, Algorithms: clientjwt.Algorithms(s, j.Algorithms, j.Keys), Fetcher: j.Fetcher}
}

// CheckConfig returns an error for each missing or invalid field.
func (j *JARM) CheckConfig(config *server.Config) error {
	if j.Keys == nil {
		return errors.New("grant: JARM.Keys is missing: write gormoauth.CreateSigningKeys[SigningKey](db, gormstore.SigningKeyOptions{})")
	}
	return clientjwt.CheckAlgorithms(config.Profile, "grant: JARM", j.Algorithms, j.Keys)
}

// PublishedKeys returns the keys with which clients verify responses.
func (j *JARM) PublishedKeys() jwk.SigningKeys { return j.Keys }

// ResponseModeSuffix returns "jwt".
func (*JARM) ResponseModeSuffix() string { return "jwt" }

// PrepareMetadata adds the supported algorithms; the engine adds the response modes.
func (j *JARM) PrepareMetadata(s *server.Server, metadata server.Metadata) {
	j.answer(s).PrepareMetadata(metadata)
}

// ClientMetadataMembers returns the members that select how a client's responses are signed
// and encrypted.
func (*JARM) ClientMetadataMembers() []string {
	return clientjwt.Answer{Called: "authorization"}.Members()
}

// CheckClientMetadata refuses algorithms that the server does not support.
func (j *JARM) CheckClientMetadata(_ context.Context, req *server.Request, metadata *models.ClientMetadata) error {
	return j.answer(req.Server).CheckClientMetadata(metadata)
}

// WrapAuthorizationResponse signs the response, and encrypts it for a client that
// registered for encryption.
func (j *JARM) WrapAuthorizationResponse(ctx context.Context, req *server.Request, response url.Values) (url.Values, error) {
	claims := make(map[string]any, len(response)+3)
	for name := range response {
		claims[name] = response.Get(name)
	}
	claims["iss"] = req.Server.Issuer()
	claims["aud"] = req.Client.GetClientID()
	claims["exp"] = req.Time.Add(jarmLife).Unix()
	text, err := j.answer(req.Server).Sign(ctx, req.Client, req.Time, "JWT", claims)
	if err != nil {
		return nil, err
	}
	return url.Values{"response": {text}}, nil
}
