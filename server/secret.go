package server

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"strings"
)

// SecretKind is the part of a generated secret that says what it is.
type SecretKind string

// The kinds of secrets that the engine and the client factory generate.
const (
	AccessTokenKind       SecretKind = "at"
	RefreshTokenKind      SecretKind = "rt"
	AuthorizationCodeKind SecretKind = "ac"
	DeviceCodeKind        SecretKind = "dc"
	ClientSecretKind      SecretKind = "cs"
	// PushedRequestKind is the secret part of a request_uri (RFC 9126).
	PushedRequestKind SecretKind = "pr"
	// KeptRequestKind is the secret part of a request_uri for a request that nobody has
	// authenticated for, see [KeepRequestHook].
	KeptRequestKind SecretKind = "kr"
	// RegistrationTokenKind is a registration access token (RFC 7592).
	RegistrationTokenKind SecretKind = "ra"
)

// A generated secret reads
//
//	prefix_kind_SECRETchecksum             access token, client secret and so on
//	prefix_kind_SECRET_GRANTchecksum       refresh token, code, device code
//
// where SECRET has 260 random bits and GRANT, the grant secret, 130. The
// prefix lets leak scanners find it and the checksum (CRC-32 over all that
// precedes) lets a malformed one be refused without a query. The alphabet is
// base32, so that nothing that folds case can confuse two.
const (
	secretLength   = 52
	grantLength    = 26
	checksumLength = 7
)

var base32NoPadding = base32.StdEncoding.WithPadding(base32.NoPadding)

// GenerateSecret returns a new secret with a prefix of its own and a checksum.
// It suits access tokens and client secrets.
func GenerateSecret(prefix string, kind SecretKind) string {
	return seal(ownPart(prefix, kind))
}

// GenerateSecret returns a new secret with the server's prefix.
func (s *Server) GenerateSecret(kind SecretKind) string {
	return GenerateSecret(s.config.TokenPrefix, kind)
}

func ownPart(prefix string, kind SecretKind) string {
	return prefix + "_" + string(kind) + "_" + rand.Text() + rand.Text()
}

// bindToGrant makes own a refresh token or code that names its grant.
func bindToGrant(own, grantSecret string) string { return seal(own + "_" + grantSecret) }

func seal(secret string) string { return secret + checksum(secret) }

func checksum(secret string) string {
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], crc32.ChecksumIEEE([]byte(secret)))
	return base32NoPadding.EncodeToString(sum[:])
}

func intact(secret string) bool {
	end := len(secret) - checksumLength
	return end > 0 && checksum(secret[:end]) == secret[end:]
}

// Digest returns the form in which a token or code is stored and looked up:
// its SHA-256 digest in lowercase hex.
func Digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Malformed reports whether a secret is shaped as a generated one, yet is not
// of this kind, was cut short or mistyped. It can be refused without a query.
// A secret of another shape is not malformed: a generator of the program's
// own, or an older program, may have made it.
func Malformed(secret string, kind SecretKind) bool {
	parts := strings.SplitN(secret, "_", 3)
	if len(parts) != 3 || strings.Contains(secret, ".") { // a JWT may have underscores
		return false
	}
	length := secretLength + checksumLength
	switch SecretKind(parts[1]) {
	case AccessTokenKind, ClientSecretKind, RegistrationTokenKind, PushedRequestKind, KeptRequestKind:
	case RefreshTokenKind, AuthorizationCodeKind, DeviceCodeKind:
		length += 1 + grantLength
	default:
		return false
	}
	return SecretKind(parts[1]) != kind || len(parts[2]) != length || !intact(secret)
}

// Presented is a code or refresh token that a client presented. Its plaintext
// stays with the engine.
type Presented struct {
	// Digest is what storage knows it by.
	Digest string
	// GrantID is the grant that it names, empty when it names none.
	GrantID string

	text        string
	grantSecret string
}

// Present reads a code or refresh token.
func Present(secret string) Presented {
	p := Presented{Digest: Digest(secret), text: secret}
	body := len(secret) - checksumLength - grantLength
	if body > 0 && secret[body-1] == '_' && intact(secret) {
		p.grantSecret = secret[body : body+grantLength]
		p.GrantID = Digest(p.grantSecret)
	}
	return p
}

// GenerateCode returns a new code of the grant, to be exchanged for a token,
// and what storage knows it by. grantSecret has at least 128 random bits, such
// as rand.Text().
func (s *Server) GenerateCode(kind SecretKind, grantSecret string) (code string, presented Presented) {
	code = bindToGrant(ownPart(s.config.TokenPrefix, kind), grantSecret)
	return code, Present(code)
}
