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

const base32Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

var base32NoPadding = base32.NewEncoding(base32Alphabet).WithPadding(base32.NoPadding)

// Generate returns a new secret with the given prefix and a checksum. It is suitable for
// access tokens and client secrets.
func Generate(prefix string, kind Kind) string {
	return Seal(Own(prefix, kind))
}

// Own returns a new secret of its own, without a grant and a checksum, from which [Bind] or
// [Seal] makes a complete one.
func Own(prefix string, kind Kind) string {
	var random [Length]byte
	_, _ = rand.Read(random[:]) // it never fails
	for i, b := range random {
		random[i] = base32Alphabet[b%byte(len(base32Alphabet))]
	}
	return prefix + "_" + string(kind) + "_" + string(random[:])
}

// Bind returns a refresh token or code that consists of own and its grant.
func Bind(own, grantSecret string) string { return Seal(own + "_" + grantSecret) }

// Seal returns a secret with its checksum.
func Seal(secret string) string {
	sum := checksum(secret)
	return secret + string(sum[:])
}

func checksum(secret string) (text [checksumLength]byte) {
	sum := ^uint32(0)
	for i := range len(secret) { // as crc32.ChecksumIEEE does, which would copy the secret
		sum = crc32.IEEETable[sum&0xff^uint32(secret[i])] ^ sum>>8
	}
	var bytes [4]byte
	binary.BigEndian.PutUint32(bytes[:], ^sum)
	base32NoPadding.Encode(text[:], bytes[:])
	return text
}

// intact reports whether a secret, which is longer than a checksum, ends with its own.
func intact(secret string) bool {
	end := len(secret) - checksumLength
	sum := checksum(secret[:end])
	return string(sum[:]) == secret[end:]
}

// Digest returns the form in which a token or code is stored and looked up: its SHA-256 digest in
// lowercase hex.
func Digest(secret string) string {
	var buffer [128]byte // enough for what the engine generates
	sum := sha256.Sum256(append(buffer[:0], secret...))
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	return string(text[:])
}

// Malformed reports whether a secret has the form of a generated one but is of another kind,
// truncated or mistyped. It can then be refused without a query. It returns false for a secret of
// any other form, which the program's own generator or an older program may have generated.
func Malformed(secret string, kind Kind) bool {
	_, rest, _ := strings.Cut(secret, "_")
	form, body, ok := strings.Cut(rest, "_")
	if !ok || strings.Contains(secret, ".") { // a JWT may have underscores
		return false
	}
	length := Length + checksumLength
	switch Kind(form) {
	case AccessToken, ClientSecret, RegistrationToken, PushedRequest, KeptRequest:
	case RefreshToken, AuthorizationCode, DeviceCode:
		length += 1 + grantLength
	default:
		return false
	}
	return Kind(form) != kind || len(body) != length || !intact(secret)
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
