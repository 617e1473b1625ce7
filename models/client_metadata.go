package models

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// ClientMetadata is a client's registration (RFC 7591 section 2). It is stored as one
// JSON object; members without a field in this struct are kept in Extra and survive a
// round trip.
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

// MarshalJSON writes the named members and Extra as one object. A member of Extra never
// replaces a named one, and is not written if a case-insensitive reader would take it for
// a named one.
func (m ClientMetadata) MarshalJSON() ([]byte, error) {
	known, err := json.Marshal(knownMetadata(m))
	if err != nil {
		return nil, err
	}
	others := maps.Clone(m.Extra)
	maps.DeleteFunc(others, func(name string, _ json.RawMessage) bool {
		return slices.Contains(namedMembers[:], name) || strictjson.Resembles(name, namedMembers[:])
	})
	more, err := json.Marshal(others)
	if err != nil || len(others) == 0 {
		return known, err
	}
	if len(known) == len("{}") {
		return more, nil
	}
	known[len(known)-1] = ','
	return append(known, more[1:]...), nil
}

// UnmarshalJSON reads one object strictly: names are compared exactly, and a duplicate
// name at any depth is an error. Members without a field go to Extra. A named member of
// the wrong JSON type is an error that names the member. A member that is null counts as
// omitted (RFC 7592 section 2.2), and so does a member whose name a case-insensitive
// reader would take for a named one, such as "ſcope": it has no effect, neither now nor
// after it was stored and read again.
func (m *ClientMetadata) UnmarshalJSON(data []byte) error {
	members, err := strictjson.Object(data)
	if err != nil {
		return err
	}
	read, faults := takeMembers(members)
	for _, fault := range faults {
		if !errors.Is(fault.Reason, errResembles) {
			return fault
		}
	}
	*m = read
	return nil
}

var errResembles = errors.New("is not the name of a known member, but a case-insensitive reader would take it for one")

// takeMembers reads metadata from members, and returns a fault for each member that is
// ignored.
func takeMembers(members map[string]json.RawMessage) (m ClientMetadata, faults []*strictjson.Error) {
	for i, into := range []any{
		&m.RedirectURIs, &m.TokenEndpointAuthMethod, &m.GrantTypes, &m.ResponseTypes, &m.ClientName, &m.ClientURI, &m.LogoURI, &m.Scope,
		&m.Contacts, &m.TosURI, &m.PolicyURI, &m.JWKsURI, &m.JWKs, &m.SoftwareID, &m.SoftwareVersion,
	} {
		name := namedMembers[i]
		raw, given := members[name]
		if !given {
			continue
		}
		delete(members, name)
		if isNull(raw) {
			continue
		}
		var fault *strictjson.Error
		if errors.As(strictjson.Unmarshal(raw, into), &fault) {
			faults = append(faults, &strictjson.Error{Path: append([]string{name}, fault.Path...), Reason: fault.Reason})
		}
	}
	return m, append(faults, m.takeExtra(members)...)
}

// takeExtra sets Extra to the members without a field, and returns a fault for each that is
// ignored.
func (m *ClientMetadata) takeExtra(members map[string]json.RawMessage) (faults []*strictjson.Error) {
	for name, raw := range members {
		switch {
		case isNull(raw):
			delete(members, name)
		case strictjson.Resembles(name, namedMembers[:]):
			delete(members, name)
			faults = append(faults, &strictjson.Error{Path: []string{name}, Reason: errResembles})
		}
	}
	if len(members) > 0 {
		m.Extra = members
	}
	return faults
}

// readWhole reads metadata in one pass, which is several times as fast as member by member.
// ok is false if a member would be refused.
func readWhole(text []byte) (m ClientMetadata, faults []*strictjson.Error, ok bool) {
	var all struct {
		knownMetadata
		Others map[string]json.RawMessage `json:",embed"`
	}
	if strictjson.Unmarshal(text, &all) != nil {
		return m, nil, false
	}
	m = ClientMetadata(all.knownMetadata)
	if isNull(m.JWKs) {
		m.JWKs = nil
	}
	faults = m.takeExtra(all.Others)
	return m, faults, true
}

func isNull(raw []byte) bool { return string(raw) == "null" }

// Value stores the metadata as JSON text (database/sql/driver.Valuer).
func (m ClientMetadata) Value() (driver.Value, error) {
	text, err := json.Marshal(m)
	return string(text), err
}

// Scan reads JSON text; NULL, an empty string and null mean no metadata. The text may have
// been stored before the strict rules existed, so a member that
// [ClientMetadata.UnmarshalJSON] would refuse is ignored, and the client keeps working
// without it. See [IgnoredClientMetadata].
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
	read, _, err := readStored(text)
	if err == nil {
		*m = read
	}
	return err
}

func readStored(text []byte) (m ClientMetadata, faults []*strictjson.Error, err error) {
	if len(text) == 0 || isNull(text) {
		return m, nil, nil
	}
	if whole, faults, ok := readWhole(text); ok {
		return whole, faults, nil
	}
	members, faults, err := strictjson.Stored(text)
	if err != nil {
		return m, nil, fmt.Errorf("models: client_metadata: %w", err)
	}
	m, more := takeMembers(members)
	return m, append(faults, more...), nil
}

// IgnoredMember is a member of stored metadata that is ignored.
type IgnoredMember struct {
	// Name is the member's name.
	Name string
	// Problem says why it is ignored.
	Problem string
}

// String returns the name and the problem.
func (m IgnoredMember) String() string { return fmt.Sprintf("%.100q %s", m.Name, m.Problem) }

// IgnoredClientMetadata returns the members of a stored client_metadata that
// [ClientMetadata.Scan] ignores, sorted by name; none when it uses all of them. The error
// is non-nil when the text cannot be read at all.
func IgnoredClientMetadata(text []byte) ([]IgnoredMember, error) {
	_, faults, err := readStored(text)
	ignored := make([]IgnoredMember, len(faults))
	for i, fault := range faults {
		ignored[i] = IgnoredMember{fault.Member(), fault.Reason.Error()}
	}
	slices.SortStableFunc(ignored, func(a, b IgnoredMember) int { return strings.Compare(a.Name, b.Name) })
	return slices.Compact(ignored), err
}

// namedMembers are the members with a field in ClientMetadata, in the order of the
// fields.
var namedMembers = [...]string{
	"redirect_uris", "token_endpoint_auth_method", "grant_types", "response_types", "client_name", "client_uri",
	"logo_uri", "scope", "contacts", "tos_uri", "policy_uri", "jwks_uri", "jwks", "software_id", "software_version",
}
