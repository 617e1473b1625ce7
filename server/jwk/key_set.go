package jwk

import (
	"encoding/json"
	"errors"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// ParseSet decodes a JWK Set (RFC 7517 section 5). Names of members are compared exactly, and none
// may occur twice. Keys that it does not support are left out, such as those with an unknown kty or curve, or with a missing
// member, because the other keys are usable without them. The result may be empty. It returns an
// error if the text is not a JWK Set at all.
//
// A key set may contain private and symmetric keys: callers that need public keys must check each
// key.
func ParseSet(text []byte) (*jose.JSONWebKeySet, error) {
	raw, err := RawKeys(text)
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

// RawKeys returns all keys of a JWK Set, supported or not.
func RawKeys(text []byte) ([]json.RawMessage, error) {
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
