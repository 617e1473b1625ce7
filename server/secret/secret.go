// Package secret makes and reads what only the server and a client know: tokens, codes, client
// secrets. A [Keyring] has the secrets of the program itself, from which keys are derived.
package secret

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"strings"
)

// DefaultPrefix begins generated secrets unless server.Config.TokenPrefix is set.
const DefaultPrefix = "goa"

// Kind is the part of a generated secret that identifies its kind.
type Kind string

// The kinds of secrets that the engine and the client factory generate.
const (
	AccessToken       Kind = "at"
	RefreshToken      Kind = "rt"
	AuthorizationCode Kind = "ac"
	DeviceCode        Kind = "dc"
	ClientSecret      Kind = "cs"
	// PushedRequest is the secret part of a pushed request's request_uri (RFC 9126).
	PushedRequest Kind = "pr"
	// KeptRequest is the secret part of the request_uri of an unauthenticated request that is
	// stored, see server.KeepRequestHook.
	KeptRequest Kind = "kr"
	// RegistrationToken is a registration access token (RFC 7592).
	RegistrationToken Kind = "ra"
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
	grantLength    = 26
	checksumLength = 7
)

// Length is the length of the random part of a generated secret, in characters.
const Length = 52

var base32NoPadding = base32.StdEncoding.WithPadding(base32.NoPadding)

// Generate returns a new secret with the given prefix and a checksum. It is suitable for
// access tokens and client secrets.
func Generate(prefix string, kind Kind) string {
	return Seal(Own(prefix, kind))
}

// Own returns a new secret of its own, without a grant and a checksum, from which [Bind] or
// [Seal] makes a complete one.
func Own(prefix string, kind Kind) string {
	return prefix + "_" + string(kind) + "_" + rand.Text() + rand.Text()
}

// Bind returns a refresh token or code that consists of own and its grant.
func Bind(own, grantSecret string) string { return Seal(own + "_" + grantSecret) }

// Seal returns a secret with its checksum.
func Seal(secret string) string { return secret + checksum(secret) }

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
func Malformed(secret string, kind Kind) bool {
	parts := strings.SplitN(secret, "_", 3)
	if len(parts) != 3 || strings.Contains(secret, ".") { // a JWT may have underscores
		return false
	}
	length := Length + checksumLength
	switch Kind(parts[1]) {
	case AccessToken, ClientSecret, RegistrationToken, PushedRequest, KeptRequest:
	case RefreshToken, AuthorizationCode, DeviceCode:
		length += 1 + grantLength
	default:
		return false
	}
	return Kind(parts[1]) != kind || len(parts[2]) != length || !intact(secret)
}

// Presented is a code or refresh token that a client presented, without its plaintext.
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

// GrantSecret returns the secret that all credentials of the grant contain, or "" if it contains
// none.
func (p Presented) GrantSecret() string { return p.grantSecret }

// Derive returns the own part of a successor of what was presented, as [Own] does, but derived
// by a keyed hash (HMAC with SHA-512): as many characters as a random one has, all of them
// pseudorandom.
func (p Presented) Derive(key []byte, prefix string, kind Kind) string {
	mac := hmac.New(sha512.New, key)
	mac.Write([]byte(string(kind) + "\x00" + p.text))
	return prefix + "_" + string(kind) + "_" + base32NoPadding.EncodeToString(mac.Sum(nil))[:Length]
}
