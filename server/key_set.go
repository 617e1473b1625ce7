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

// ParseKeySet reads a JWK Set (RFC 7517 section 5), as [ReadJSON] reads JSON. A key
// that is not understood is left out, such as one of a kty or a curve that this
// server does not know, or one that lacks a member: the others are as good as
// without it. There may be none left. An error is for what is not a JWK Set at all.
//
// A key set may have private and symmetric keys: who needs public ones asks each key
// whether it is one.
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

// keysOf returns the keys of a JWK Set, understood or not.
func keysOf(text []byte) ([]json.RawMessage, error) {
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := strictjson.Unmarshal(text, &set); err != nil {
		return nil, err
	}
	if set.Keys == nil {
		return nil, errors.New("server: a JWK Set has the member \"keys\", a list")
	}
	return *set.Keys, nil
}

// holdsSecret reports whether a key has a private or a symmetric part, understood or
// not (RFC 7518 section 6, RFC 8037 section 2).
func holdsSecret(key []byte) bool {
	members, _ := strictjson.Object(key) // what is no object is no key
	for _, name := range []string{"d", "k", "priv"} {
		if _, given := members[name]; given {
			return true
		}
	}
	return false
}

// keyNames names the keys of a JWK Set for the person who registers it: each by its kid,
// or else by its kind.
func keyNames(text []byte) string {
	raw, _ := keysOf(text) // what is no key set has no keys
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
		_ = strictjson.Unmarshal(one, &key) // what is no key has no name
		names[i] = cmp.Or(key.ID, strings.TrimSpace(key.Type+" "+key.Curve), "a key without a kid")
	}
	return strings.Join(names, ", ")
}

// CheckSigningKeys refuses a client whose key set (jwks) has no key that may sign by any
// of the algorithms, so that the client could never sign anything. It names the keys. A
// key set at a jwks_uri is seen when it is used.
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
		fault.Problem = fmt.Sprintf("cannot sign by any of %v; register a key that can", algorithms)
	default:
		return nil
	}
	return &ClientMetadataError{[]ClientMetadataFault{fault}}
}
