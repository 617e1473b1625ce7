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

// HashClientSecret returns the stored form of a secret: "$sha256$" and the SHA-256 digest
// in hex. Use it only for secrets with at least 128 random bits, such as those generated
// by [github.com/gormoauth/gormoauth/gormstore]; hash a secret that a person chose with
// bcrypt or argon2id.
func HashClientSecret(secret string) string {
	hashed := hashClientSecret(secret)
	return string(hashed[:])
}

func hashClientSecret(secret string) (stored [len(sha256Scheme) + 2*sha256.Size]byte) {
	sum := sha256.Sum256([]byte(secret))
	hex.Encode(stored[copy(stored[:], sha256Scheme):], sum[:])
	return stored
}

const derivedScheme = "$derived$"

// DerivedClientSecret returns the stored form of a secret that the server derives from
// one of its own secrets: "$derived$" and the nonce that it is derived from.
func DerivedClientSecret(nonce string) string { return derivedScheme + nonce }

// DerivedClientSecretBy is like DerivedClientSecret and also names the server's secret
// that the client's is derived from: "$derived$", its id, "$" and the nonce.
func DerivedClientSecretBy(secretID, nonce string) string {
	return derivedScheme + secretID + "$" + nonce
}

// ReadDerivedClientSecret returns the nonce that a stored secret is derived from, and the
// id of the server's secret that it is derived with. The id is empty if the server's
// secret had none. ok is false if the stored secret is not a derived one.
func ReadDerivedClientSecret(stored string) (secretID, nonce string, ok bool) {
	nonce, ok = strings.CutPrefix(stored, derivedScheme)
	if id, rest, named := strings.Cut(nonce, "$"); ok && named {
		return id, rest, true
	}
	return "", nonce, ok
}

// IsDerivedClientSecret reports whether a stored secret is a derived one.
func IsDerivedClientSecret(stored string) bool { return strings.HasPrefix(stored, derivedScheme) }

// UsesClientSecret reports whether a client that authenticates by the method has a
// secret. It is true for methods that this package does not know.
func UsesClientSecret(authMethod string) bool {
	switch authMethod {
	case None, PrivateKeyJWT, TLSClientAuth, SelfSignedTLSClientAuth:
		return false
	}
	return true
}

// IsHashedClientSecret reports whether a stored secret is a digest: this package's own,
// bcrypt ("$2…$") or argon2id ("$argon2id$"). An empty or a derived one counts as hashed,
// because it contains nothing that could leak.
func IsHashedClientSecret(stored string) bool {
	return stored == "" || IsDerivedClientSecret(stored) || strings.HasPrefix(stored, sha256Scheme) || isBcrypt(stored) || isArgon2id(stored)
}

// carriesScheme matches strings that begin like a digest, of this package or of other programs, such
// as "$argon2i$…", "{bcrypt}…", "scrypt:…" and "pbkdf2_sha256$…".
var carriesScheme = regexp.MustCompile(`^(\$[^$]*\$|\{[^}]*\}|[0-9A-Za-z_.+-]+[:$])`)

// isBareHexadecimal matches strings that may be a secret or its digest by MD5, SHA-1,
// SHA-256, SHA-384 or SHA-512, without saying which.
var isBareHexadecimal = regexp.MustCompile(`^([0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{96}|[0-9A-Fa-f]{128})$`)

// IsBareHexadecimalSecret reports whether a stored secret consists of exactly as many
// hexadecimal digits as a digest has. It may be a secret or the digest of one, so it verifies
// nothing until the program has said which it is.
func IsBareHexadecimalSecret(stored string) bool { return isBareHexadecimal.MatchString(stored) }

// IsPlaintextClientSecret reports whether a stored secret is one that an older program
// stored in plaintext. A string that begins with the name of a hash scheme, known to this
// package or not, does not count as plaintext, nor do bare hexadecimal digits (see
// [IsBareHexadecimalSecret]).
func IsPlaintextClientSecret(stored string) bool {
	return stored != "" && !carriesScheme.MatchString(stored) && !IsBareHexadecimalSecret(stored)
}

// verifyClientSecret reports whether presented is the secret that stored was made from. A
// plaintext from an older program verifies; a possible digest of an unknown kind does not.
func verifyClientSecret(stored, presented string) bool {
	switch {
	case presented == "", IsDerivedClientSecret(stored): // a derived secret signs and is never sent
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
	hashed := hashClientSecret(presented)
	return subtle.ConstantTimeCompare([]byte(stored), hashed[:]) == 1
}

func isBcrypt(stored string) bool {
	return len(stored) == 60 && strings.HasPrefix(stored, "$2") && stored[3] == '$'
}

func isArgon2id(stored string) bool { return strings.HasPrefix(stored, "$argon2id$") }
