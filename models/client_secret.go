package models

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
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

// verifyClientSecret reports whether presented is the secret behind stored.
// What is in no known scheme is a plaintext from an older program.
func verifyClientSecret(stored, presented string) bool {
	switch {
	case stored == "" || presented == "", IsDerivedClientSecret(stored): // which signs, and is never sent
		return false
	case isBcrypt(stored):
		return bcrypt.CompareHashAndPassword([]byte(stored), []byte(presented)) == nil
	case isArgon2id(stored):
		ok, err := argon2id.ComparePasswordAndHash(presented, stored)
		return ok && err == nil
	case !strings.HasPrefix(stored, sha256Scheme):
		stored = HashClientSecret(stored)
	}
	return subtle.ConstantTimeCompare([]byte(stored), []byte(HashClientSecret(presented))) == 1
}

func isBcrypt(stored string) bool {
	return len(stored) == 60 && strings.HasPrefix(stored, "$2") && stored[3] == '$'
}

func isArgon2id(stored string) bool { return strings.HasPrefix(stored, "$argon2id$") }
