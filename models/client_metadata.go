package models

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"maps"
)

// ClientMetadata is a client's registration (RFC 7591 section 2). It is
// stored as one JSON object; members that this struct does not name are kept
// in Extra and survive a round trip.
type ClientMetadata struct {
	RedirectURIs            []string        `json:"redirect_uris,omitempty"`
	TokenEndpointAuthMethod string          `json:"token_endpoint_auth_method,omitempty"`
	GrantTypes              []string        `json:"grant_types,omitempty"`
	ResponseTypes           []string        `json:"response_types,omitempty"`
	ClientName              string          `json:"client_name,omitempty"`
	ClientURI               string          `json:"client_uri,omitempty"`
	LogoURI                 string          `json:"logo_uri,omitempty"`
	Scope                   string          `json:"scope,omitempty"`
	Contacts                []string        `json:"contacts,omitempty"`
	TosURI                  string          `json:"tos_uri,omitempty"`
	PolicyURI               string          `json:"policy_uri,omitempty"`
	JWKsURI                 string          `json:"jwks_uri,omitempty"`
	JWKs                    json.RawMessage `json:"jwks,omitempty"`
	SoftwareID              string          `json:"software_id,omitempty"`
	SoftwareVersion         string          `json:"software_version,omitempty"`

	// Extra holds every other member, by name, as JSON.
	Extra map[string]json.RawMessage `json:"-"`
}

// knownMetadata is ClientMetadata without its methods.
type knownMetadata ClientMetadata

// MarshalJSON writes the named members and Extra as one object. A member of
// Extra never replaces a named one.
func (m ClientMetadata) MarshalJSON() ([]byte, error) {
	known, err := json.Marshal(knownMetadata(m))
	if err != nil || len(m.Extra) == 0 {
		return known, err
	}
	all := maps.Clone(m.Extra)
	for _, name := range namedMembers {
		delete(all, name)
	}
	if err := json.Unmarshal(known, &all); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

// UnmarshalJSON reads one object; what it does not name goes to Extra. A
// named member of another JSON type is an error that names the member.
func (m *ClientMetadata) UnmarshalJSON(data []byte) error {
	var known knownMetadata
	if err := json.Unmarshal(data, &known); err != nil {
		return err
	}
	if err := json.Unmarshal(data, &known.Extra); err != nil {
		return err
	}
	for _, name := range namedMembers {
		delete(known.Extra, name)
	}
	if len(known.Extra) == 0 {
		known.Extra = nil
	}
	*m = ClientMetadata(known)
	return nil
}

// Value stores the metadata as JSON text (database/sql/driver.Valuer).
func (m ClientMetadata) Value() (driver.Value, error) {
	text, err := json.Marshal(m)
	return string(text), err
}

// Scan reads JSON text; NULL and an empty text are no metadata.
func (m *ClientMetadata) Scan(value any) error {
	var text []byte
	switch v := value.(type) {
	case nil:
	case string:
		text = []byte(v)
	case []byte:
		text = v
	default:
		return fmt.Errorf("models: client_metadata is a %T, want text", value)
	}
	if len(text) == 0 {
		*m = ClientMetadata{}
		return nil
	}
	if err := json.Unmarshal(text, m); err != nil {
		return fmt.Errorf("models: client_metadata: %w", err)
	}
	return nil
}

var namedMembers = []string{
	"redirect_uris", "token_endpoint_auth_method", "grant_types", "response_types", "client_name", "client_uri",
	"logo_uri", "scope", "contacts", "tos_uri", "policy_uri", "jwks_uri", "jwks", "software_id", "software_version",
}
