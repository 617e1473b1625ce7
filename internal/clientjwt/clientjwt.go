// Package clientjwt creates the JWTs that a server sends to a client, each signed and
// encrypted as the client's metadata asks: ID tokens and UserInfo (OpenID Connect Core),
// authorization responses (JARM) and introspection responses (RFC 9701).
package clientjwt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/clientmeta"
	"github.com/gormoauth/gormoauth/server/fetch"
	"github.com/gormoauth/gormoauth/server/jwk"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/storage"
)

// Answer is one kind of such a response.
type Answer struct {
	// Called is the prefix of its metadata members: "id_token", "userinfo", "authorization"
	// or "introspection".
	Called string
	// Keys are the keys that sign it.
	Keys jwk.SigningKeys
	// Algorithms are the signature algorithms that a client may choose from; see
	// [Algorithms].
	Algorithms []jose.SignatureAlgorithm
	// Fetcher fetches the keys of clients with a jwks_uri. If it is nil, nothing is
	// encrypted for them.
	Fetcher *fetch.Fetcher
}

// knowing is implemented by keys that know their algorithms.
type knowing interface {
	SignatureAlgorithms() []jose.SignatureAlgorithm
}

// Algorithms returns the given algorithms if there are any. Otherwise it returns the
// algorithms of the keys that the server's profile allows, or RS256, the default of the
// specifications, if the keys do not know their algorithms.
func Algorithms(s *server.Server, given []jose.SignatureAlgorithm, keys jwk.SigningKeys) []jose.SignatureAlgorithm {
	if given != nil {
		return given
	}
	return byDefault(s.Profile(), keys)
}

func byDefault(profile server.Profile, keys jwk.SigningKeys) []jose.SignatureAlgorithm {
	known, ok := keys.(knowing)
	if !ok {
		return []jose.SignatureAlgorithm{jose.RS256}
	}
	return slices.DeleteFunc(slices.Clone(known.SignatureAlgorithms()), func(algorithm jose.SignatureAlgorithm) bool {
		return jwk.CheckAlgorithms(profile, "", algorithm) != nil
	})
}

// CheckAlgorithms returns an error, which begins with name, if the given algorithms are an
// empty list, or include one that has no key or that the profile does not allow. If given
// is nil, it returns an error if the profile allows none of the algorithms of the keys.
func CheckAlgorithms(profile server.Profile, name string, given []jose.SignatureAlgorithm, keys jwk.SigningKeys) error {
	if given == nil {
		all := byDefault(profile, keys)
		if len(all) == 0 {
			return fmt.Errorf("%s.Keys has no key for an algorithm that Config.Profile allows: add one to gormstore.SigningKeyOptions.Algorithms", name)
		}
		return jwk.CheckAlgorithms(profile, name+".Algorithms", all...)
	}
	if len(given) == 0 {
		return fmt.Errorf("%s.Algorithms is empty: leave it nil, or add an algorithm", name)
	}
	known, ok := keys.(knowing)
	for _, algorithm := range given {
		if ok && !slices.Contains(known.SignatureAlgorithms(), algorithm) {
			return fmt.Errorf("%s.Keys has no key for %s: add it to gormstore.SigningKeyOptions.Algorithms, or remove it from Algorithms", name, algorithm)
		}
	}
	return jwk.CheckAlgorithms(profile, name+".Algorithms", given...)
}

// KeyAlgorithms returns the key management algorithms that responses can be encrypted
// with.
func KeyAlgorithms() []jose.KeyAlgorithm {
	return []jose.KeyAlgorithm{jose.ECDH_ES, jose.ECDH_ES_A128KW, jose.ECDH_ES_A256KW, jose.RSA_OAEP_256, jose.RSA_OAEP}
}

// ContentEncryptions returns the content encryption algorithms that responses can be
// encrypted with.
func ContentEncryptions() []jose.ContentEncryption {
	return []jose.ContentEncryption{jose.A128CBC_HS256, jose.A256CBC_HS512, jose.A128GCM, jose.A256GCM}
}

func (a Answer) signedBy() string      { return a.Called + "_signed_response_alg" }
func (a Answer) encryptedBy() string   { return a.Called + "_encrypted_response_alg" }
func (a Answer) encryptedWith() string { return a.Called + "_encrypted_response_enc" }

// Members returns the metadata members with which a client chooses how the response is
// signed and encrypted.
func (a Answer) Members() []string {
	return []string{a.signedBy(), a.encryptedBy(), a.encryptedWith()}
}

// PrepareMetadata adds the algorithms that a client may choose from to the server's
// metadata.
func (a Answer) PrepareMetadata(metadata server.Metadata) {
	for _, algorithm := range a.Algorithms {
		metadata.Add(a.Called+"_signing_alg_values_supported", string(algorithm))
	}
	for _, algorithm := range KeyAlgorithms() {
		metadata.Add(a.Called+"_encryption_alg_values_supported", string(algorithm))
	}
	for _, encryption := range ContentEncryptions() {
		metadata.Add(a.Called+"_encryption_enc_values_supported", string(encryption))
	}
}

// CheckClientMetadata refuses choices that the server does not support.
func (a Answer) CheckClientMetadata(metadata *models.ClientMetadata) error {
	for _, member := range a.Members() {
		var text string
		if raw, given := metadata.Extra[member]; given && strictjson.Unmarshal(raw, &text) != nil {
			return clientmeta.Invalid(member, string(metadata.Extra[member]), "must be a string")
		}
	}
	signed, alg, enc := text(metadata, a.signedBy()), text(metadata, a.encryptedBy()), text(metadata, a.encryptedWith())
	switch {
	case signed != "" && !slices.Contains(a.Algorithms, jose.SignatureAlgorithm(signed)):
		return clientmeta.Invalid(a.signedBy(), signed, fmt.Sprintf("is not an algorithm that the server signs with; choose one of %v", a.Algorithms))
	case alg == "" && enc == "":
		return nil
	case alg == "":
		return clientmeta.Invalid(a.encryptedWith(), enc, "has no effect without "+a.encryptedBy()+"; register both, or neither")
	case !slices.Contains(KeyAlgorithms(), jose.KeyAlgorithm(alg)):
		return clientmeta.Invalid(a.encryptedBy(), alg, fmt.Sprintf("is not an algorithm that the server encrypts with; choose one of %v", KeyAlgorithms()))
	case enc != "" && !slices.Contains(ContentEncryptions(), jose.ContentEncryption(enc)):
		return clientmeta.Invalid(a.encryptedWith(), enc, fmt.Sprintf("is not an encryption that the server supports; choose one of %v", ContentEncryptions()))
	case len(metadata.JWKs) == 0 && metadata.JWKsURI != "" && a.Fetcher != nil:
		return nil
	}
	to := recipient{algorithm: jose.KeyAlgorithm(alg), encryption: encryptionOf(metadata, a.encryptedWith())}
	if _, err := to.seal(metadata.JWKs, nil); err != nil {
		return clientmeta.Invalid("jwks", "", "has no key for encryption with "+alg+"; register one, or remove "+a.encryptedBy())
	}
	return nil
}

// encryptionOf returns the content encryption that a client chose, or else the default,
// A128CBC-HS256.
func encryptionOf(metadata *models.ClientMetadata, member string) jose.ContentEncryption {
	return jose.ContentEncryption(cmp.Or(text(metadata, member), string(jose.A128CBC_HS256)))
}

// Algorithm returns the algorithm that signs the response to a client: the one that the
// client chose, or else RS256, or else the first of Algorithms.
func (a Answer) Algorithm(client storage.Client) jose.SignatureAlgorithm {
	chosen := jose.SignatureAlgorithm(text(metadataOf(client), a.signedBy()))
	switch {
	case slices.Contains(a.Algorithms, chosen):
		return chosen
	case slices.Contains(a.Algorithms, jose.RS256):
		return jose.RS256
	default:
		return a.Algorithms[0]
	}
}

// Sign returns the claims as a signed JWT of the type typ, which is then encrypted if the
// client registered for encryption (OpenID Connect Core section 10.2).
func (a Answer) Sign(ctx context.Context, client storage.Client, now time.Time, typ string, claims map[string]any) (string, error) {
	signed, err := jwk.SignJWT(ctx, a.Keys, a.Algorithm(client), now, typ, claims)
	if err != nil || !a.Encrypts(client) {
		return signed, err
	}
	return a.Encrypt(ctx, client, []byte(signed), "JWT")
}

// Signs reports whether a client registered a signature algorithm for the response.
func (a Answer) Signs(client storage.Client) bool {
	return text(metadataOf(client), a.signedBy()) != ""
}

// Encrypts reports whether a client registered for encryption of the response.
func (a Answer) Encrypts(client storage.Client) bool {
	return text(metadataOf(client), a.encryptedBy()) != ""
}

// Encrypt encrypts plain for a client that registered for encryption.
func (a Answer) Encrypt(ctx context.Context, client storage.Client, plain []byte, contentType jose.ContentType) (string, error) {
	metadata := metadataOf(client)
	to := recipient{algorithm: jose.KeyAlgorithm(text(metadata, a.encryptedBy())), encryption: encryptionOf(metadata, a.encryptedWith()), contentType: contentType}
	var sealed string
	err := a.Fetcher.InKeySet(ctx, metadata.JWKs, metadata.JWKsURI, func(keySet []byte) (err error) {
		sealed, err = to.seal(keySet, plain)
		return err
	})
	if errors.Is(err, fetch.ErrRefused) {
		return "", server.NewError(server.InvalidRequest, "The client registered for encrypted responses, but has no key for them.").BecauseOf(err)
	}
	return sealed, err
}

// recipient is a client that something is encrypted for.
type recipient struct {
	algorithm   jose.KeyAlgorithm
	encryption  jose.ContentEncryption
	contentType jose.ContentType
}

// seal encrypts plain for the first suitable key of a key set. Whether a key is suitable,
// for example that its modulus is not even, may only show here. The error is a
// [*reason.Reason].
func (r recipient) seal(keySet, plain []byte) (string, error) {
	keys, err := jwk.ParseSet(keySet)
	if err != nil {
		return "", reason.New("the key set is malformed", slog.String("fault", err.Error()))
	}
	options := new(jose.EncrypterOptions)
	if r.contentType != "" {
		options = options.WithContentType(r.contentType)
	}
	for _, key := range keys.Keys {
		if key.Use == "sig" || key.Algorithm != "" && key.Algorithm != string(r.algorithm) || !jwk.IsEncryptionKeyFor(key, r.algorithm) {
			continue
		}
		encrypter, err := jose.NewEncrypter(r.encryption, jose.Recipient{Algorithm: r.algorithm, Key: key.Key, KeyID: key.KeyID}, options)
		if err != nil {
			continue
		}
		encrypted, err := encrypter.Encrypt(plain)
		if err != nil {
			continue
		}
		if text, err := encrypted.CompactSerialize(); err == nil {
			return text, nil
		}
	}
	return "", reason.New("the key set has no key for the algorithm", slog.String("algorithm", string(r.algorithm)))
}

// metadataOf returns a client's metadata; nil if the model does not have it.
func metadataOf(client storage.Client) *models.ClientMetadata {
	registered, ok := client.(storage.RegisteredClient)
	if !ok {
		return nil
	}
	return &registered.AsClientMixin().ClientMetadata
}

// text returns a member of a client's metadata that is a string; empty if it is missing
// or of another type.
func text(metadata *models.ClientMetadata, name string) (text string) {
	if metadata != nil {
		_ = strictjson.Unmarshal(metadata.Extra[name], &text) // any other type counts as missing
	}
	return text
}
