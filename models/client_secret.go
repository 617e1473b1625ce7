package models

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/alexedwards/argon2id"
	"golang.org/x/crypto/bcrypt"
)

const sha256Scheme = "$sha256$"

// HashClientSecret returns the form in which a secret is stored:
// "$sha256$" and the SHA-256 digest in hex. It suits secrets with at least
// 128 random bits, as [github.com/gormoauth/gormoauth/gormstore] generates
// them; a secret that a person chose belongs in bcrypt or argon2id.
func HashClientSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return sha256Scheme + hex.EncodeToString(sum[:])
}

const derivedScheme = "$derived$"

// DerivedClientSecret returns the form in which a secret is stored that the
// server derives from a key of its own: "$derived$" and what it derives it from.
func DerivedClientSecret(nonce string) string { return derivedScheme + nonce }

// DerivedClientSecretBy is DerivedClientSecret that says which of the server's secrets the
// client's is derived with: "$derived$", its id, "$" and the nonce.
func DerivedClientSecretBy(secretID, nonce string) string {
	return derivedScheme + secretID + "$" + nonce
}

// ReadDerivedClientSecret returns what a stored secret is derived from, and the id of the
// server's secret with which it is: empty where the stored form does not say so, as it was
// made by a key that has no id. ok is false for a stored secret that is not derived.
func ReadDerivedClientSecret(stored string) (secretID, nonce string, ok bool) {
	nonce, ok = strings.CutPrefix(stored, derivedScheme)
	if id, rest, named := strings.Cut(nonce, "$"); ok && named {
		return id, rest, true
	}
	return "", nonce, ok
}

// IsDerivedClientSecret reports whether a stored secret is a derived one.
func IsDerivedClientSecret(stored string) bool { return strings.HasPrefix(stored, derivedScheme) }

// UsesClientSecret reports whether a client that authenticates by the method
// has a secret. Methods of the program's own count as such.
func UsesClientSecret(authMethod string) bool {
	switch authMethod {
	case None, PrivateKeyJWT, TLSClientAuth, SelfSignedTLSClientAuth:
		return false
	}
	return true
}

// IsHashedClientSecret reports whether a stored secret is a digest: this
// package's own, bcrypt ("$2…$") or argon2id ("$argon2id$"). An empty one and a
// derived one count as hashed, since they hold nothing that could leak.
func IsHashedClientSecret(stored string) bool {
	return stored == "" || IsDerivedClientSecret(stored) || strings.HasPrefix(stored, sha256Scheme) || isBcrypt(stored) || isArgon2id(stored)
}

// carriesScheme finds what begins as digests of other programs do, such as "$argon2i$…",
// "{bcrypt}…", "scrypt:…" and "pbkdf2_sha256$…".
var carriesScheme = regexp.MustCompile(`^(\$[^$]*\$|\{[^}]*\}|[0-9A-Za-z_.+-]+[:$])`)

// isBareHexadecimal finds what may be a secret, or the digest of one by MD5, SHA-1, SHA-256,
// SHA-384 or SHA-512, and does not say which.
var isBareHexadecimal = regexp.MustCompile(`^([0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{96}|[0-9A-Fa-f]{128})$`)

// IsBareHexadecimalSecret reports whether a stored secret is hexadecimal digits, as many as a
// digest has, and nothing else: it may be a secret, or the digest of one, and verifies
// nothing until the program has said which.
func IsBareHexadecimalSecret(stored string) bool { return isBareHexadecimal.MatchString(stored) }

// IsPlaintextClientSecret reports whether a stored secret is one that an older program left
// in plaintext. What carries the name of a scheme is not, be it one that this package knows
// or not, nor are bare hexadecimal digits, see [IsBareHexadecimalSecret].
func IsPlaintextClientSecret(stored string) bool {
	return stored != "" && !IsHashedClientSecret(stored) && !carriesScheme.MatchString(stored) && !IsBareHexadecimalSecret(stored)
}

// verifyClientSecret reports whether presented is the secret behind stored. A plaintext from
// an older program verifies; what may be a digest of a kind that is not known does not.
func verifyClientSecret(stored, presented string) bool {
	switch {
	case stored == "" || presented == "", IsDerivedClientSecret(stored): // which signs, and is never sent
		return false
	case isBcrypt(stored):
		return bcrypt.CompareHashAndPassword([]byte(stored), []byte(presented)) == nil
	case isArgon2id(stored):
		ok, err := argon2id.ComparePasswordAndHash(presented, stored)
		return ok && err == nil
	case IsPlaintextClientSecret(stored):
		stored = HashClientSecret(stored)
	case !strings.HasPrefix(stored, sha256Scheme):
		return false
	}
	return subtle.ConstantTimeCompare([]byte(stored), []byte(HashClientSecret(presented))) == 1
}

func isBcrypt(stored string) bool {
	return len(stored) == 60 && strings.HasPrefix(stored, "$2") && stored[3] == '$'
}

func isArgon2id(stored string) bool { return strings.HasPrefix(stored, "$argon2id$") }
