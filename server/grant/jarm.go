package grant

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/server"
)

// JARM lets clients ask for authorization responses as signed JWTs (JWT Secured
// Authorization Response Mode for OAuth 2.0), by response_mode "jwt",
// "query.jwt", "fragment.jwt" and "form_post.jwt": nobody on the way can change
// one, or pass off another server's as this one's. Register it for every request.
type JARM struct {
	// Keys sign the responses.
	Keys server.SigningKeys
	// Algorithm is what they sign by; empty is ES256.
	Algorithm jose.SignatureAlgorithm
}

// jarmLife is how long a response is valid.
const jarmLife = 10 * time.Minute

// ResponseModeSuffix returns "jwt".
func (*JARM) ResponseModeSuffix() string { return "jwt" }

func (j *JARM) algorithm() jose.SignatureAlgorithm {
	if j.Algorithm == "" {
		return jose.ES256
	}
	return j.Algorithm
}

// PrepareMetadata names the algorithm; the engine names the modes.
func (j *JARM) PrepareMetadata(_ *server.Server, metadata server.Metadata) {
	metadata.Add("authorization_signing_alg_values_supported", string(j.algorithm()))
}

// WrapAuthorizationResponse signs the response for the client.
func (j *JARM) WrapAuthorizationResponse(ctx context.Context, req *server.Request, response url.Values) (url.Values, error) {
	if j.Keys == nil {
		return nil, errors.New("grant: JARM.Keys is missing: write gormoauth.CreateSigningKeys[SigningKey](db, gormstore.SigningKeyOptions{})")
	}
	claims := make(map[string]any, len(response)+3)
	for name := range response {
		claims[name] = response.Get(name)
	}
	claims["iss"] = req.Server.Issuer()
	claims["aud"] = req.Client.GetClientID()
	claims["exp"] = req.Time.Add(jarmLife).Unix()
	text, err := server.SignJWT(ctx, j.Keys, j.algorithm(), req.Time, "JWT", claims)
	if err != nil {
		return nil, err
	}
	return url.Values{"response": {text}}, nil
}
