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
)

// JARM lets clients ask for authorization responses as signed JWTs (JWT Secured
// Authorization Response Mode for OAuth 2.0), by response_mode "jwt",
// "query.jwt", "fragment.jwt" and "form_post.jwt": nobody on the way can change
// one, or pass off another server's as this one's. Register it for every request.
//
// A client's metadata says by what its responses are signed and encrypted:
// authorization_signed_response_alg, authorization_encrypted_response_alg and
// authorization_encrypted_response_enc. One that does not say gets them signed by RS256,
// or else by the first of Algorithms.
type JARM struct {
	// Keys sign the responses.
	Keys server.SigningKeys
	// Algorithms are those that a client may choose among; nil is every one that Keys
	// have, or RS256 where those do not say.
	Algorithms []jose.SignatureAlgorithm
	// Fetcher gets the keys of clients with a jwks_uri, to encrypt for; nil refuses to
	// encrypt for those.
	Fetcher *fetch.Fetcher
}

// jarmLife is how long a response is valid.
const jarmLife = 10 * time.Minute

func (j *JARM) answer(s *server.Server) clientjwt.Answer {
	return clientjwt.Answer{Called: "authorization", Keys: j.Keys, Algorithms: clientjwt.Algorithms(s, j.Algorithms, j.Keys), Fetcher: j.Fetcher}
}

// CheckConfig names what is missing.
func (j *JARM) CheckConfig(config *server.Config) error {
	if j.Keys == nil {
		return errors.New("grant: JARM.Keys is missing: write gormoauth.CreateSigningKeys[SigningKey](db, gormstore.SigningKeyOptions{})")
	}
	return clientjwt.CheckAlgorithms(config.Profile, "grant: JARM", j.Algorithms, j.Keys)
}

// PublishedKeys returns the keys, by which clients verify responses.
func (j *JARM) PublishedKeys() server.SigningKeys { return j.Keys }

// ResponseModeSuffix returns "jwt".
func (*JARM) ResponseModeSuffix() string { return "jwt" }

// PrepareMetadata names the algorithms; the engine names the modes.
func (j *JARM) PrepareMetadata(s *server.Server, metadata server.Metadata) {
	j.answer(s).PrepareMetadata(metadata)
}

// ClientMetadataMembers returns the members by which a client says how it wants its
// responses.
func (*JARM) ClientMetadataMembers() []string {
	return clientjwt.Answer{Called: "authorization"}.Members()
}

// CheckClientMetadata refuses algorithms that the server does not have.
func (j *JARM) CheckClientMetadata(_ context.Context, req *server.Request, metadata *models.ClientMetadata) error {
	return j.answer(req.Server).CheckClientMetadata(metadata)
}

// WrapAuthorizationResponse signs the response for the client, and encrypts it for one
// that registered for that.
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
