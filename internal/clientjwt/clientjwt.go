// Package clientjwt makes the JWTs with which a server answers a client, each signed and
// encrypted as the client's metadata asks: ID tokens and UserInfo (OpenID Connect Core),
// authorization responses (JARM) and introspection (RFC 9701).
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
	"github.com/gormoauth/gormoauth/server/fetch"
)

// Answer is one kind of answer.
type Answer struct {
	// Called is what its members of metadata begin with: "id_token", "userinfo",
	// "authorization" or "introspection".
	Called string
	// Keys sign.
	Keys server.SigningKeys
	// Algorithms are those that a client may choose among; see [Algorithms].
	Algorithms []jose.SignatureAlgorithm
	// Fetcher gets the keys of clients with a jwks_uri; nil encrypts for none of them.
	Fetcher *fetch.Fetcher
}

// knowing is for keys that know what they are for.
type knowing interface {
	SignatureAlgorithms() []jose.SignatureAlgorithm
}

// Algorithms returns the algorithms that are given, or else those of the keys where the
// keys say so, as far as the server's profile has them, or else RS256, which the
// specifications have as the default.
func Algorithms(s *server.Server, given []jose.SignatureAlgorithm, keys server.SigningKeys) []jose.SignatureAlgorithm {
	if given != nil {
		return given
	}
	return byDefault(s.Profile(), keys)
}

func byDefault(profile server.Profile, keys server.SigningKeys) []jose.SignatureAlgorithm {
	known, ok := keys.(knowing)
	if !ok {
		return []jose.SignatureAlgorithm{jose.RS256}
	}
	return slices.DeleteFunc(slices.Clone(known.SignatureAlgorithms()), func(algorithm jose.SignatureAlgorithm) bool {
		return server.CheckAlgorithms(profile, "", algorithm) != nil
	})
}

// CheckAlgorithms returns an error that begins with a name if the algorithms that are given
// are none, or include one for which there is no key, or one that the profile does not
// have; and if none is given and none is left.
func CheckAlgorithms(profile server.Profile, name string, given []jose.SignatureAlgorithm, keys server.SigningKeys) error {
	if given == nil {
		all := byDefault(profile, keys)
		if len(all) == 0 {
			return fmt.Errorf("%s.Keys has none for an algorithm of Config.Profile: add one to gormstore.SigningKeyOptions.Algorithms", name)
		}
		return server.CheckAlgorithms(profile, name+".Algorithms", all...)
	}
	if len(given) == 0 {
		return fmt.Errorf("%s.Algorithms is empty: leave it nil, or name an algorithm", name)
	}
	known, ok := keys.(knowing)
	for _, algorithm := range given {
		if ok && !slices.Contains(known.SignatureAlgorithms(), algorithm) {
			return fmt.Errorf("%s.Keys has none for %s: add it to gormstore.SigningKeyOptions.Algorithms, or leave it out of Algorithms", name, algorithm)
		}
	}
	return server.CheckAlgorithms(profile, name+".Algorithms", given...)
}

// KeyAlgorithms are those by which answers are encrypted.
func KeyAlgorithms() []jose.KeyAlgorithm {
	return []jose.KeyAlgorithm{jose.ECDH_ES, jose.ECDH_ES_A128KW, jose.ECDH_ES_A256KW, jose.RSA_OAEP_256, jose.RSA_OAEP}
}

// ContentEncryptions are those by which the content of answers is encrypted.
func ContentEncryptions() []jose.ContentEncryption {
	return []jose.ContentEncryption{jose.A128CBC_HS256, jose.A256CBC_HS512, jose.A128GCM, jose.A256GCM}
}

func (a Answer) signedBy() string      { return a.Called + "_signed_response_alg" }
func (a Answer) encryptedBy() string   { return a.Called + "_encrypted_response_alg" }
func (a Answer) encryptedWith() string { return a.Called + "_encrypted_response_enc" }

// Members are those by which a client says how it wants the answer.
func (a Answer) Members() []string {
	return []string{a.signedBy(), a.encryptedBy(), a.encryptedWith()}
}

// PrepareMetadata names what a client may choose among.
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

// CheckClientMetadata refuses what the server could not give the client.
func (a Answer) CheckClientMetadata(metadata *models.ClientMetadata) error {
	for _, member := range a.Members() {
		var text string
		if raw, given := metadata.Extra[member]; given && strictjson.Unmarshal(raw, &text) != nil {
			return server.InvalidMember(member, string(metadata.Extra[member]), "must be a text")
		}
	}
	signed, alg, enc := text(metadata, a.signedBy()), text(metadata, a.encryptedBy()), text(metadata, a.encryptedWith())
	switch {
	case signed != "" && !slices.Contains(a.Algorithms, jose.SignatureAlgorithm(signed)):
		return server.InvalidMember(a.signedBy(), signed, fmt.Sprintf("is not an algorithm by which the server signs; choose one of %v", a.Algorithms))
	case alg == "" && enc == "":
		return nil
	case alg == "":
		return server.InvalidMember(a.encryptedWith(), enc, "says nothing without "+a.encryptedBy()+"; register that as well, or leave this out")
	case !slices.Contains(KeyAlgorithms(), jose.KeyAlgorithm(alg)):
		return server.InvalidMember(a.encryptedBy(), alg, fmt.Sprintf("is not an algorithm by which the server encrypts; choose one of %v", KeyAlgorithms()))
	case enc != "" && !slices.Contains(ContentEncryptions(), jose.ContentEncryption(enc)):
		return server.InvalidMember(a.encryptedWith(), enc, fmt.Sprintf("is not an encryption that the server has; choose one of %v", ContentEncryptions()))
	case len(metadata.JWKs) == 0 && metadata.JWKsURI != "" && a.Fetcher != nil:
		return nil
	}
	to := recipient{algorithm: jose.KeyAlgorithm(alg), encryption: encryptionOf(metadata, a.encryptedWith())}
	if _, err := to.seal(metadata.JWKs, nil); err != nil {
		return server.InvalidMember("jwks", "", "has no key to encrypt for by "+alg+"; register one, or leave "+a.encryptedBy()+" out")
	}
	return nil
}

// encryptionOf returns how the content of answers is encrypted for a client.
func encryptionOf(metadata *models.ClientMetadata, member string) jose.ContentEncryption {
	return jose.ContentEncryption(cmp.Or(text(metadata, member), string(jose.A128CBC_HS256)))
}

// Algorithm is what the answer to a client is signed by: what it chose, or else RS256, or
// else the first that there is.
func (a Answer) Algorithm(client server.Client) jose.SignatureAlgorithm {
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

// Sign returns claims as a JWT of the type, signed, and then encrypted for a client that
// registered for that (OpenID Connect Core section 10.2).
func (a Answer) Sign(ctx context.Context, client server.Client, now time.Time, typ string, claims map[string]any) (string, error) {
	signed, err := server.SignJWT(ctx, a.Keys, a.Algorithm(client), now, typ, claims)
	if err != nil || !a.Encrypts(client) {
		return signed, err
	}
	return a.Encrypt(ctx, client, []byte(signed), "JWT")
}

// Signs reports whether a client chose by what the answer is signed.
func (a Answer) Signs(client server.Client) bool { return text(metadataOf(client), a.signedBy()) != "" }

// Encrypts reports whether a client registered for the answer to be encrypted.
func (a Answer) Encrypts(client server.Client) bool {
	return text(metadataOf(client), a.encryptedBy()) != ""
}

// Encrypt encrypts a text for a client that registered for that.
func (a Answer) Encrypt(ctx context.Context, client server.Client, plain []byte, contentType jose.ContentType) (string, error) {
	metadata := metadataOf(client)
	to := recipient{algorithm: jose.KeyAlgorithm(text(metadata, a.encryptedBy())), encryption: encryptionOf(metadata, a.encryptedWith()), contentType: contentType}
	var sealed string
	err := a.Fetcher.InKeySet(ctx, metadata.JWKs, metadata.JWKsURI, func(keySet []byte) (err error) {
		sealed, err = to.seal(keySet, plain)
		return err
	})
	if errors.Is(err, fetch.ErrRefused) {
		return "", server.NewError(server.InvalidRequest, "The client registered for encrypted answers, and has no key for them.").BecauseOf(err)
	}
	return sealed, err
}

// recipient is a client for which something is encrypted.
type recipient struct {
	algorithm   jose.KeyAlgorithm
	encryption  jose.ContentEncryption
	contentType jose.ContentType
}

// seal encrypts a text for the first key of a key set that is good for it: of some it is
// known only now, such as one with an even modulus. The error is a [*server.Reason].
func (r recipient) seal(keySet, plain []byte) (string, error) {
	keys, err := server.ParseKeySet(keySet)
	if err != nil {
		return "", server.NewReason("the key set is malformed", slog.String("fault", err.Error()))
	}
	options := new(jose.EncrypterOptions)
	if r.contentType != "" {
		options = options.WithContentType(r.contentType)
	}
	for _, key := range keys.Keys {
		if key.Use == "sig" || key.Algorithm != "" && key.Algorithm != string(r.algorithm) || !server.IsEncryptionKeyFor(key, r.algorithm) {
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
	return "", server.NewReason("the key set has no key for the algorithm", slog.String("algorithm", string(r.algorithm)))
}

// metadataOf returns what a client registered, nil when it does not tell.
func metadataOf(client server.Client) *models.ClientMetadata {
	registered, ok := client.(server.RegisteredClient)
	if !ok {
		return nil
	}
	return &registered.AsClientMixin().ClientMetadata
}

// text returns a member of a client's metadata that is text, empty for any other.
func text(metadata *models.ClientMetadata, name string) (text string) {
	if metadata != nil {
		_ = strictjson.Unmarshal(metadata.Extra[name], &text) // what is no text says nothing
	}
	return text
}
