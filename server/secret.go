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

// SecretKind is the part of a generated secret that identifies its kind.
type SecretKind string

// The kinds of secrets that the engine and the client factory generate.
const (
	AccessTokenKind       SecretKind = "at"
	RefreshTokenKind      SecretKind = "rt"
	AuthorizationCodeKind SecretKind = "ac"
	DeviceCodeKind        SecretKind = "dc"
	ClientSecretKind      SecretKind = "cs"
	// PushedRequestKind is the secret part of a pushed request's request_uri (RFC 9126).
	PushedRequestKind SecretKind = "pr"
	// KeptRequestKind is the secret part of the request_uri of an unauthenticated request that is
	// stored, see [KeepRequestHook].
	KeptRequestKind SecretKind = "kr"
	// RegistrationTokenKind is a registration access token (RFC 7592).
	RegistrationTokenKind SecretKind = "ra"
)

// A generated secret has the form
//
//	prefix_kind_SECRETchecksum             access token, client secret and so on
//	prefix_kind_SECRET_GRANTchecksum       refresh token, code, device code
//
// where SECRET has 260 random bits and GRANT, the grant secret, 130. Leak scanners
// find it by its prefix. The checksum (CRC-32 of everything before it) allows a
// malformed secret to be refused without a query. The alphabet is base32, so that
// two secrets never differ only in letter case.
const (
	secretLength   = 52
	grantLength    = 26
	checksumLength = 7
)

var base32NoPadding = base32.StdEncoding.WithPadding(base32.NoPadding)

// GenerateSecret returns a new secret with the given prefix and a checksum. It is suitable for
// access tokens and client secrets.
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

// bindToGrant returns a refresh token or code that consists of own and its grant.
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

// Digest returns the form in which a token or code is stored and looked up: its SHA-256 digest in
// lowercase hex.
func Digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Malformed reports whether a secret has the form of a generated one but is of another kind,
// truncated or mistyped. It can then be refused without a query. It returns false for a secret of
// any other form, which the program's own generator or an older program may have generated.
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

// Presented is a code or refresh token that a client presented. Only the engine has its
// plaintext.
type Presented struct {
	// Digest is the form in which it is stored.
	Digest string
	// GrantID is the id of the grant that it contains, empty if it contains none.
	GrantID string

	text        string
	grantSecret string
}

// Present returns a code or refresh token as a [Presented].
func Present(secret string) Presented {
	p := Presented{Digest: Digest(secret), text: secret}
	body := len(secret) - checksumLength - grantLength
	if body > 0 && secret[body-1] == '_' && intact(secret) {
		p.grantSecret = secret[body : body+grantLength]
		p.GrantID = Digest(p.grantSecret)
	}
	return p
}

// GenerateCode returns a new code of the grant, to be exchanged for a token, and the form in
// which it is stored. grantSecret must have at least 128 random bits, such as rand.Text().
func (s *Server) GenerateCode(kind SecretKind, grantSecret string) (code string, presented Presented) {
	code = bindToGrant(ownPart(s.config.TokenPrefix, kind), grantSecret)
	return code, Present(code)
}
