package main

import "strings"

// scope is something that a user can allow an application to do.
type scope struct{ Name, Words string }

var scopes = []scope{
	{"openid", "Recognise you when you come back"},
	{"profile", "See your name and user name"},
	{"email", "See your e-mail address"},
	{"address", "See where you live"},
	{"phone", "See your telephone number"},
	{"offline_access", "Keep this access while you are away"},
}

func scopeNames() []string {
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = s.Name
	}
	return names
}

// scopesInWords says what a space separated scope allows. A scope that is not in this file is
// shown by its name rather than hidden.
func scopesInWords(granted string) []scope {
	words := strings.Fields(granted)
	described := make([]scope, len(words))
	for i, name := range words {
		described[i] = scope{name, name}
		for _, s := range scopes {
			if s.Name == name {
				described[i] = s
			}
		}
	}
	return described
}
