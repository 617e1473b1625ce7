// Package dpop checks DPoP proofs (RFC 9449), at the server and at its APIs. Package grant has the
// extension that binds tokens to their keys.
package dpop

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/jwt"
	"github.com/gormoauth/gormoauth/internal/logtext"
	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/internal/weburi"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/assertion"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Proofs checks DPoP proofs (RFC 9449 section 4.3). A client signs each of its requests with
// a key of its own, so that a token bound to the key is useless to a thief. Authorization servers
// and APIs check proofs in the same way.
type Proofs struct {
	// Replays remembers the proofs that were presented.
	Replays storage.Replays
	// NonceKey requires a nonce in proofs, so that they cannot be made in advance (RFC 9449
	// section 8). A nonce is never accepted for longer than ten minutes. The key has at least 32
	// random bytes, the same on every instance. Without NonceKey and Secrets no nonce is
	// required.
	NonceKey []byte
	// Secrets generate the nonces instead of NonceKey, so that the keys can be rotated: those of
	// [server.Config.Secrets]. A nonce from any of the secrets or from NonceKey is accepted.
	Secrets secret.Keyring
	// Algorithms are the signature algorithms that clients may use. nil uses those of the profile
	// or, without a profile, [jwk.SignatureAlgorithms].
	Algorithms []jose.SignatureAlgorithm
}

// Limits of a proof.
const (
	maxProof    = 4 << 10
	maxProofID  = 512
	proofLife   = 2 * time.Minute
	proofAhead  = time.Minute // how far a client's clock may be ahead
	nonceLife   = 5 * time.Minute
	minNonceKey = 32
)

// CheckSettings returns an error that lists every missing or invalid field.
func (p *Proofs) CheckSettings() error {
	var faults []error
	if p.Replays == nil {
		faults = append(faults, errors.New("dpop: Proofs.Replays is missing: write gormoauth.CreateReplayStorage[Replay](db)"))
	}
	if len(p.NonceKey) > 0 && len(p.NonceKey) < minNonceKey {
		faults = append(faults, errors.New("dpop: Proofs.NonceKey must have at least 32 random bytes"))
	}
	faults = append(faults, p.Secrets.Check())
	return errors.Join(faults...)
}

// For returns the proofs with the algorithms of the profile, unless they have algorithms of their
// own. A nil profile means none.
func (p *Proofs) For(profile server.Profile) *Proofs {
	if p.Algorithms != nil {
		return p
	}
	copied := *p
	if copied.Algorithms = jwk.SignatureAlgorithms(); profile != nil {
		copied.Algorithms = profile.SignatureAlgorithms()
	}
	return &copied
}

// AlgorithmNames returns the names of the accepted algorithms, for metadata and challenges.
func (p *Proofs) AlgorithmNames() []string {
	names := make([]string, 0, len(p.algorithms()))
	for _, algorithm := range p.algorithms() {
		names = append(names, string(algorithm))
	}
	return names
}

func (p *Proofs) algorithms() []jose.SignatureAlgorithm {
	if p.Algorithms == nil {
		return jwk.SignatureAlgorithms()
	}
	return p.Algorithms
}

// Check checks the proof of a request and returns the thumbprint of the key that signed it.
// target is the request's URL as the client knows it; its query is ignored. accessToken is the
// access token sent with the proof, empty at the authorization server. A proof can be used only
// once.
func (p *Proofs) Check(r *http.Request, target, accessToken string, now time.Time) (thumbprint string, err error) {
	thumbprint, spend, err := p.Verify(r, target, accessToken, now)
	if err != nil {
		return "", err
	}
	first, err := p.Replays.FirstUse(r.Context(), spend.Key, spend.ExpiresAt)
	if err != nil {
		return "", fmt.Errorf("remember a DPoP proof: %w", err)
	}
	if !first {
		return "", spend.Refusal
	}
	return thumbprint, nil
}

// Verify is Check for a request that the server itself handles. It does not spend the proof: pass
// the returned [storage.Spend] to [server.Request.Spend].
func (p *Proofs) Verify(r *http.Request, target, accessToken string, now time.Time) (thumbprint string, spend storage.Spend, err error) {
	proof, err := p.verify(r, target, accessToken, now)
	if err != nil {
		return "", storage.Spend{}, err
	}
	return proof.thumbprint, storage.Spend{
		Replays: p.Replays, Key: fmt.Sprintf("dpop %s %q", proof.thumbprint, proof.ID), ExpiresAt: proof.IssuedAt.Time().Add(2 * proofLife), Proof: true,
		Refusal: server.NewError(server.InvalidDPoPProof, "The DPoP proof was already used."),
	}, nil
}

func (p *Proofs) verify(r *http.Request, target, accessToken string, now time.Time) (*dpopProof, error) {
	headers := r.Header.Values("DPoP")
	if len(headers) != 1 {
		return nil, server.NewError(server.InvalidDPoPProof, "The request must have exactly one 'DPoP' header.")
	}
	proof, err := parseDPoPProof(headers[0], p.algorithms())
	if err != nil {
		return nil, server.NewError(server.InvalidDPoPProof, "The DPoP proof is not a JWT signed by the key in its 'jwk' header.").BecauseOf(err)
	}
	issuedAt := proof.IssuedAt.Time()
	switch {
	case proof.ID == "" || len(proof.ID) > maxProofID:
		return nil, server.NewError(server.InvalidDPoPProof, "The 'jti' of the DPoP proof is missing or too long.")
	case proof.Method != r.Method || !sameTarget(proof.Target, target):
		return nil, server.NewError(server.InvalidDPoPProof, "The DPoP proof is for a different request. Check its 'htm' and 'htu'.").With(
			slog.String("htm", proof.Method), slog.String("method", r.Method), slog.String("htu", logtext.URI(proof.Target)), slog.String("target", logtext.URI(target)))
	case now.Sub(issuedAt) > proofLife, issuedAt.Sub(now) > proofAhead:
		return nil, server.NewError(server.InvalidDPoPProof, "The DPoP proof was not made just now. Check its 'iat' and the clock.").With(slog.Int64("iat", int64(proof.IssuedAt)), slog.Int64("now", now.Unix()))
	case accessToken != "" && subtle.ConstantTimeCompare([]byte(proof.AccessTokenHash), []byte(hashOfToken(accessToken))) != 1:
		return nil, server.NewError(server.InvalidDPoPProof, "The DPoP proof is for a different access token. Check its 'ath'.")
	case !p.goodNonce(proof.Nonce, now):
		failure := server.NewError(server.UseDPoPNonce, "The DPoP proof must contain the 'nonce' from the 'DPoP-Nonce' header.")
		failure.Header = http.Header{"Dpop-Nonce": {nonceBy(p.nonceKeys()[0], now.Unix()/int64(nonceLife/time.Second))}}
		return nil, failure
	}
	return proof, nil
}

// dpopProof holds the claims of RFC 9449 section 4.2.
type dpopProof struct {
	ID              string          `json:"jti"`
	Method          string          `json:"htm"`
	Target          string          `json:"htu"`
	IssuedAt        jwt.NumericDate `json:"iat"`
	AccessTokenHash string          `json:"ath"`
	Nonce           string          `json:"nonce"`

	thumbprint string
}

// parseDPoPProof parses a proof and verifies it with the key in its header.
func parseDPoPProof(text string, algorithms []jose.SignatureAlgorithm) (*dpopProof, error) {
	if len(text) > maxProof {
		return nil, reason.New("the JWT is too long")
	}
	signed, err := assertion.ParseSigned(text, algorithms)
	if err != nil {
		return nil, err
	}
	header := signed.Signatures[0].Header
	key := header.JSONWebKey
	switch typ := jwt.Type(header); {
	case typ != "dpop+jwt":
		return nil, reason.New("the JWT is not a DPoP proof", slog.String("typ", typ))
	case key == nil:
		return nil, reason.New("the DPoP proof has no 'jwk'")
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil || !jwk.IsKeyFor(*key, jose.SignatureAlgorithm(header.Algorithm)) { // go-jose only accepts a public key here
		return nil, reason.New("the 'jwk' is not a key for the algorithm", slog.String("algorithm", header.Algorithm))
	}
	payload, err := signed.Verify(key)
	if err != nil {
		return nil, reason.New("the signature of the JWT is wrong", slog.String("algorithm", header.Algorithm))
	}
	proof := &dpopProof{}
	if err := strictjson.Unmarshal(payload, proof); err != nil {
		return nil, reason.New("the claims of the JWT are malformed", slog.String("fault", err.Error()))
	}
	proof.thumbprint = base64.RawURLEncoding.EncodeToString(sum)
	return proof, nil
}

func hashOfToken(accessToken string) string {
	sum := sha256.Sum256([]byte(accessToken))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// nonceKeys returns the keys of nonces, the one that generates new ones first.
func (p *Proofs) nonceKeys() [][]byte {
	keys := p.Secrets.Keys(secret.ForNonces)
	if len(p.NonceKey) > 0 {
		keys = append([][]byte{p.NonceKey}, keys...)
	}
	return keys
}

// nonceBy returns the nonce of a period. It is the same for all clients: it proves that a proof
// is recent, and needs no storage.
func nonceBy(key []byte, period int64) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("dpop nonce " + strconv.FormatInt(period, 10)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (p *Proofs) goodNonce(nonce string, now time.Time) bool {
	keys := p.nonceKeys()
	if len(keys) == 0 {
		return true
	}
	period := now.Unix() / int64(nonceLife/time.Second)
	good := 0
	for _, key := range keys {
		for _, at := range []int64{period - 1, period, period + 1} { // another instance's clock may be ahead
			good |= subtle.ConstantTimeCompare([]byte(nonce), []byte(nonceBy(key, at)))
		}
	}
	return good == 1
}

// sameTarget compares two URLs without query and fragment, after the normalization of RFC 3986
// sections 6.2.2 and 6.2.3 (RFC 9449 section 4.3).
func sameTarget(a, b string) bool {
	return weburi.Normal(withoutQuery(a)) == weburi.Normal(withoutQuery(b))
}

func withoutQuery(address string) string {
	if i := strings.IndexAny(address, "?#"); i >= 0 {
		return address[:i]
	}
	return address
}
