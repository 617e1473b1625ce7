package server

import "slices"

// Metadata is the metadata of a server, by member (RFC 8414 section 2).
type Metadata map[string]any

// Add adds values to a member that is a list, and keeps the list sorted and without duplicates.
func (m Metadata) Add(member string, values ...string) {
	list, _ := m[member].([]string)
	list = append(list, values...)
	slices.Sort(list)
	m[member] = slices.Compact(list)
}

// Metadata returns the server's metadata, which describes exactly what is registered.
func (s *Server) Metadata() Metadata {
	m := Metadata{
		"issuer":                   s.config.Issuer,
		"response_types_supported": []string{}, // a required member
		"authorization_response_iss_parameter_supported": true, // RFC 9207 section 3
	}
	if u := s.EndpointURL(authorizationEndpoint); u != "" {
		m["authorization_endpoint"] = u
	}
	if u := s.EndpointURL(tokenEndpoint); u != "" {
		m["token_endpoint"] = u
		m.Add("token_endpoint_auth_methods_supported", s.AuthMethods()...)
	}
	if s.config.ScopesSupported != nil {
		m["scopes_supported"] = s.config.ScopesSupported
	}
	for _, a := range s.answered() {
		if a.grantType != "" {
			m.Add("grant_types_supported", a.grantType)
		}
		if a.responseTypes != nil {
			m.Add("response_types_supported", a.responseTypes...)
			m.Add("response_modes_supported", s.responseModes(a.grant.(AuthorizationGrant).ResponseMode())...)
		}
	}
	for _, value := range s.registered() {
		if hook, ok := value.(MetadataHook); ok {
			hook.PrepareMetadata(s, m)
		}
	}
	return m
}

// responseModes returns all modes of a response whose default mode is usual.
func (s *Server) responseModes(usual string) (modes []string) {
	modes = responseModes(usual)
	tell(&Request{Server: s}, func(hook ResponseModeHook) {
		suffix := hook.ResponseModeSuffix()
		modes = append(modes, suffix)
		for _, mode := range responseModes(usual) {
			modes = append(modes, mode+"."+suffix)
		}
	})
	return modes
}

// AuthMethods returns the names of the client authentication methods.
func (s *Server) AuthMethods() []string {
	names := make([]string, len(s.methods))
	for i, method := range s.methods {
		names[i] = method.AuthMethod()
	}
	return names
}
