package server

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/strictjson"
	"github.com/gormoauth/gormoauth/models"
)

// ParseKeySet decodes a JWK Set (RFC 7517 section 5), with the rules of [ReadJSON]. Keys that it
// does not support are left out, such as those with an unknown kty or curve, or with a missing
// member, because the other keys are usable without them. The result may be empty. It returns an
// error if the text is not a JWK Set at all.
//
// A key set may contain private and symmetric keys: callers that need public keys must check each
// key.
func ParseKeySet(text []byte) (*jose.JSONWebKeySet, error) {
	raw, err := keysOf(text)
	if err != nil {
		return nil, err
	}
	set := &jose.JSONWebKeySet{Keys: make([]jose.JSONWebKey, 0, len(raw))}
	for _, one := range raw {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(one) == nil && key.Valid() {
			set.Keys = append(set.Keys, key)
		}
	}
	return set, nil
}

// keysOf returns all keys of a JWK Set, supported or not.
func keysOf(text []byte) ([]json.RawMessage, error) {
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := strictjson.Unmarshal(text, &set); err != nil {
		return nil, err
	}
	if set.Keys == nil {
		return nil, errors.New("server: a JWK Set must have the member \"keys\", a list")
	}
	return *set.Keys, nil
}

// holdsSecret reports whether a key has a private or symmetric part, even if it is not supported
// (RFC 7518 section 6, RFC 8037 section 2).
func holdsSecret(key []byte) bool {
	members, _ := strictjson.Object(key) // if it is not an object, it is not a key
	for _, name := range []string{"d", "k", "priv"} {
		if _, given := members[name]; given {
			return true
		}
	}
	return false
}

// keyNames lists the keys of a JWK Set for the person who registers it: each by its kid or,
// without one, by its type.
func keyNames(text []byte) string {
	raw, _ := keysOf(text) // if it is not a key set, there are no keys
	return namesOfKeys(raw)
}

func namesOfKeys(raw []json.RawMessage) string {
	names := make([]string, len(raw))
	for i, one := range raw {
		var key struct {
			ID    string `json:"kid"`
			Type  string `json:"kty"`
			Curve string `json:"crv"`
		}
		_ = strictjson.Unmarshal(one, &key) // if it is not a key, it has no name
		names[i] = cmp.Or(key.ID, strings.TrimSpace(key.Type+" "+key.Curve), "a key without a kid")
	}
	return strings.Join(names, ", ")
}

// CheckSigningKeys returns an error if a client's key set (jwks) has no key that can sign with
// any of the algorithms, in which case the client could never sign anything. The error names the
// keys. A key set at a jwks_uri is only checked when it is used.
func CheckSigningKeys(metadata *models.ClientMetadata, algorithms []jose.SignatureAlgorithm) error {
	if len(metadata.JWKs) == 0 {
		return nil
	}
	fault := ClientMetadataFault{Member: "jwks", Value: keyNames(metadata.JWKs)}
	keys, err := ParseKeySet(metadata.JWKs)
	signs := func(key jose.JSONWebKey) bool {
		return !strings.EqualFold(key.Use, "enc") && slices.ContainsFunc(algorithms, func(algorithm jose.SignatureAlgorithm) bool {
			return (key.Algorithm == "" || key.Algorithm == string(algorithm)) && IsKeyFor(key, algorithm)
		})
	}
	switch {
	case err == nil && len(keys.Keys) > maxAssertionKeys:
		fault.Problem = fmt.Sprintf("has more than %d keys", maxAssertionKeys)
	case err != nil || !slices.ContainsFunc(keys.Keys, signs):
		fault.Problem = fmt.Sprintf("cannot sign with any of %v; register a key that can", algorithms)
	default:
		return nil
	}
	return &ClientMetadataError{[]ClientMetadataFault{fault}}
}
