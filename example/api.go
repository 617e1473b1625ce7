package main

import (
	"encoding/json"
	"net/http"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/resource"
)

type meResponse struct {
	Subject  string `json:"sub,omitempty"`
	Username string `json:"username,omitempty"`
	Name     string `json:"name,omitempty"`
	ClientID string `json:"client_id"`
	Scope    string `json:"scope,omitempty"`
}

// me answers with the user of the token. A client's own token has no user.
func (a *app) me(w http.ResponseWriter, r *http.Request) {
	token, _ := resource.TokenFromContext(r.Context())
	response := meResponse{ClientID: token.Token.GetClientID()}
	if token.UserID != "" {
		found, err := a.users.Query(r.Context(), token.UserID)
		if err == nil && found == nil { // the user was disabled after the token was issued
			err = server.NewError(server.InvalidToken, "The user of the access token is gone or disabled.")
		}
		if err != nil {
			a.api.WriteError(w, r, err)
			return
		}
		user := found.(*User)
		response.Subject, response.Username, response.Name = token.UserID, user.Username, user.Name
		response.Scope = token.Token.GetScope()
	}
	writeJSON(w, http.StatusOK, response)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
