package secret

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

// Keyring holds the secrets that are known to the program and not to its database, the newest
// first: at least 32 random bytes each, the same on every instance. From each of them one key for
// each [Use] is derived by HKDF with SHA-256 (RFC 5869). The first secret is used for everything
// new; the others are only used to read what was written with them.
//
// To rotate, add the new secret at the end on every instance, then move it to the front on every
// instance, and remove the old one when the doctor no longer reports it. If a secret has leaked
// together with the database, the signing keys have leaked as well: rotate those too
// (gormstore.SigningKeys.Rotate).
//
// Printing a value of this type only shows the ids of the secrets.
type Keyring [][]byte

// Use is what a key is derived for. What is encrypted for one use cannot be decrypted for
// another.
type Use string

// The uses of this library. Uses of a program's own should begin with its name.
const (
	// ForSigningKeys encrypts the server's private signing keys.
	ForSigningKeys Use = "signing keys"
	// ForPairwiseSalt encrypts the salt of pairwise subjects.
	ForPairwiseSalt Use = "pairwise salt"
	// ForNonces generates the nonces of DPoP proofs (RFC 9449 section 8).
	ForNonces Use = "nonces"
	// ForClientSecrets derives the secrets of clients that sign with them.
	ForClientSecrets Use = "client secrets"
)

const (
	minSecretBytes  = 32
	derivedKeyBytes = 32
	secretIDBytes   = 4
)

// MissingError is returned if something was written with a secret that is not in
// server.Config.Secrets.
type MissingError struct {
	// ID is the id of the secret, see [Keyring.IDs].
	ID string
}

// Error names the secret by its id.
func (e *MissingError) Error() string {
	return fmt.Sprintf("the secret with the id %q is not in Config.Secrets; add it again, after the newest one", e.ID)
}

// Check returns what is wrong with the secrets. It returns nil if nothing is, or if there are
// none.
func (s Keyring) Check() error {
	var faults []error
	for i, secret := range s {
		if len(secret) < minSecretBytes {
			faults = append(faults, fmt.Errorf("server: Config.Secrets[%d] has %d bytes and needs at least %d random ones: use the output of 'openssl rand %d'", i, len(secret), minSecretBytes, minSecretBytes))
		}
	}
	ids := s.IDs()
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			faults = append(faults, fmt.Errorf("server: Config.Secrets[%d] is listed twice, or has the same id %q as another; leave one out", i, id))
		}
	}
	return errors.Join(faults...)
}

// IDs returns the ids of the secrets, eight hexadecimal digits each, which reveal nothing about
// the secrets. Whatever was written with a secret contains its id.
func (s Keyring) IDs() []string {
	ids := make([]string, len(s))
	for i, secret := range s {
		ids[i] = hex.EncodeToString(derived(secret, "id", secretIDBytes))
	}
	return ids
}

// Newest returns the id of the secret that is used for everything new, or "" if there are no
// secrets.
func (s Keyring) Newest() string {
	if len(s) == 0 {
		return ""
	}
	return s[:1].IDs()[0]
}

// Key returns the 32-byte key for a use that is derived from the secret with the id, or a
// [*MissingError].
func (s Keyring) Key(id string, use Use) ([]byte, error) {
	i := slices.Index(s.IDs(), id)
	if i < 0 {
		return nil, &MissingError{id}
	}
	return derived(s[i], "key for "+string(use), derivedKeyBytes), nil
}

// Keys returns the keys for a use that are derived from all secrets, the newest first.
func (s Keyring) Keys(use Use) [][]byte {
	keys := make([][]byte, len(s))
	for i, secret := range s {
		keys[i] = derived(secret, "key for "+string(use), derivedKeyBytes)
	}
	return keys
}

// Seal encrypts plain for a use with the newest secret. It returns a compact JWE (RFC 7516) with
// A256GCM, whose "kid" is the id of the secret. Without secrets it returns a
// [*MissingError].
func (s Keyring) Seal(use Use, plain []byte) (string, error) {
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

// Open decrypts what [Keyring.Seal] returned for the use, with whichever of the secrets was used.
// It returns a [*MissingError] if that secret is missing.
func (s Keyring) Open(use Use, sealed string) ([]byte, error) {
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

// SealedBy returns the id of the secret with which [Keyring.Seal] encrypted sealed, or "" for any
// other text.
func SealedBy(sealed string) string {
	encrypted, err := jwt.ParseEncrypted(sealed, []jose.KeyAlgorithm{jose.DIRECT}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		return ""
	}
	return encrypted.Header.KeyID
}

// Format writes the ids of the secrets, for any verb.
func (s Keyring) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.ids())) }

// LogValue returns the ids of the secrets.
func (s Keyring) LogValue() slog.Value { return slog.StringValue(s.ids()) }

func (s Keyring) ids() string { return "[" + strings.Join(s.IDs(), " ") + "]" }

// derived returns what HKDF derives from a secret for a purpose.
func derived(secret []byte, purpose string, length int) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, "gormoauth "+purpose, length)
	if err != nil { // only if the length is too great, which it never is
		panic(err)
	}
	return key
}
