package server

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/jwt"
)

// Secrets are what the program knows and its database does not, the newest first: at
// least 32 random bytes each, the same on every instance. From each of them keys are
// derived by HKDF with SHA-256 (RFC 5869), one for each [SecretUse]. The first one makes
// what is new; the others read what they have made before.
//
// To rotate, add the new secret at the end on every instance, then move it to the front
// on every instance, and take the old one out once the doctor does not name it any more.
// Where a secret has leaked together with the database, the signing keys have, too: rotate
// those as well (gormstore.SigningKeys.Rotate).
//
// Printing a value of this type shows the ids of the secrets and nothing else.
type Secrets [][]byte

// SecretUse is what a key is derived for. What is made for one use cannot be read for
// another.
type SecretUse string

// The uses of the library. Those of a program's own begin with its name.
const (
	// SigningKeySecret encrypts the private keys with which the server signs.
	SigningKeySecret SecretUse = "signing keys"
	// PairwiseSaltSecret encrypts the salt of pairwise subjects.
	PairwiseSaltSecret SecretUse = "pairwise salt"
	// NonceSecret makes the nonces of DPoP proofs (RFC 9449 section 8).
	NonceSecret SecretUse = "nonces"
	// DerivedClientSecret makes the secrets of clients that sign with them.
	DerivedClientSecret SecretUse = "client secrets"
)

const (
	minSecretBytes  = 32
	derivedKeyBytes = 32
	secretIDBytes   = 4
)

// MissingSecretError says that something was made by a secret that is not among
// [Config.Secrets].
type MissingSecretError struct {
	// ID is the id of the secret, see [Secrets.IDs].
	ID string
}

// Error names the secret by its id.
func (e *MissingSecretError) Error() string {
	return fmt.Sprintf("the secret with the id %q is not in Config.Secrets; add it again, after the newest one", e.ID)
}

// Check returns what is wrong with the secrets, nil when nothing is or there are none.
func (s Secrets) Check() error {
	var faults []error
	for i, secret := range s {
		if len(secret) < minSecretBytes {
			faults = append(faults, fmt.Errorf("server: Config.Secrets[%d] has %d bytes and needs at least %d random ones: write what 'openssl rand %d' gives", i, len(secret), minSecretBytes, minSecretBytes))
		}
	}
	ids := s.IDs()
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			faults = append(faults, fmt.Errorf("server: Config.Secrets[%d] is given twice, or has the same id %q as another; leave one out", i, id))
		}
	}
	return errors.Join(faults...)
}

// IDs returns the ids of the secrets: eight hexadecimal digits each, from which nobody
// learns the secret. What a secret made says by its id which one made it.
func (s Secrets) IDs() []string {
	ids := make([]string, len(s))
	for i, secret := range s {
		ids[i] = hex.EncodeToString(derived(secret, "id", secretIDBytes))
	}
	return ids
}

// Newest returns the id of the secret that makes what is new, empty when there are none.
func (s Secrets) Newest() string {
	if len(s) == 0 {
		return ""
	}
	return s[:1].IDs()[0]
}

// Key returns the key of 32 bytes that the secret with the id has for a use, or a
// [MissingSecretError].
func (s Secrets) Key(id string, use SecretUse) ([]byte, error) {
	i := slices.Index(s.IDs(), id)
	if i < 0 {
		return nil, &MissingSecretError{id}
	}
	return derived(s[i], "key for "+string(use), derivedKeyBytes), nil
}

// Keys returns the keys that all secrets have for a use, the newest first.
func (s Secrets) Keys(use SecretUse) [][]byte {
	keys := make([][]byte, len(s))
	for i, secret := range s {
		keys[i] = derived(secret, "key for "+string(use), derivedKeyBytes)
	}
	return keys
}

// Seal encrypts something for a use with the newest secret: a compact JWE (RFC 7516) by
// A256GCM, whose "kid" is the id of the secret.
func (s Secrets) Seal(use SecretUse, plain []byte) (string, error) {
	id := s.Newest()
	key, err := s.Key(id, use)
	if err != nil {
		return "", err
	}
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.DIRECT, Key: key, KeyID: id}, nil)
	if err != nil {
		return "", err
	}
	sealed, err := encrypter.Encrypt(plain)
	if err != nil {
		return "", err
	}
	return sealed.CompactSerialize()
}

// Open decrypts what [Secrets.Seal] returned for the use, whichever of the secrets made
// it, or returns a [MissingSecretError].
func (s Secrets) Open(use SecretUse, sealed string) ([]byte, error) {
	encrypted, err := jwt.ParseEncrypted(sealed, []jose.KeyAlgorithm{jose.DIRECT}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		return nil, err
	}
	key, err := s.Key(encrypted.Header.KeyID, use)
	if err != nil {
		return nil, err
	}
	return encrypted.Decrypt(key)
}

// SealedBy returns the id of the secret that made what [Secrets.Seal] returned, empty for
// anything else.
func SealedBy(sealed string) string {
	encrypted, err := jwt.ParseEncrypted(sealed, []jose.KeyAlgorithm{jose.DIRECT}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		return ""
	}
	return encrypted.Header.KeyID
}

// Format writes the ids of the secrets, whatever the verb is.
func (s Secrets) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.ids())) }

// LogValue returns the ids of the secrets.
func (s Secrets) LogValue() slog.Value { return slog.StringValue(s.ids()) }

func (s Secrets) ids() string { return "[" + strings.Join(s.IDs(), " ") + "]" }

// derived returns what HKDF derives from a secret for a purpose.
func derived(secret []byte, purpose string, length int) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, "gormoauth "+purpose, length)
	if err != nil { // of a length that is too great, which none is
		panic(err)
	}
	return key
}
