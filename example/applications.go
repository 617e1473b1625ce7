package main

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// maxApplications is how many grants the page shows.
const maxApplications = 100

// application is a live grant: a user has given a client access.
type application struct {
	ID         uint
	ClientName string
	ClientID   string
	Scopes     []scope
	Since      int64
	LastUsed   int64
}

// applicationsOf lists what a user has granted, the latest first. A grant is
// one row of tokens, and alive while either of its tokens is.
func (a *app) applicationsOf(ctx context.Context, user *User) ([]application, error) {
	now := time.Now().Unix()
	var tokens []Token
	err := a.db.WithContext(ctx).
		Where("user_id = ? AND refresh_token_revoked_at = 0", user.ID).
		Where("refresh_token IS NOT NULL AND (refresh_token_expires_at = 0 OR refresh_token_expires_at > ?)"+
			" OR access_token_revoked_at = 0 AND (expires_in = 0 OR issued_at + expires_in > ?)", now, now).
		Order("granted_at DESC, id DESC").Limit(maxApplications).Find(&tokens).Error
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(tokens))
	for i, token := range tokens {
		ids[i] = token.ClientID
	}
	names, err := a.clientNames(ctx, ids)
	if err != nil {
		return nil, err
	}
	applications := make([]application, len(tokens))
	for i, token := range tokens {
		applications[i] = application{
			ID:         token.ID,
			ClientName: names[token.ClientID],
			ClientID:   token.ClientID,
			Scopes:     scopesInWords(token.GrantedScope),
			Since:      token.GrantedAt,
			LastUsed:   max(token.LastUsedAt, token.IssuedAt),
		}
	}
	return applications, nil
}

// clientNames returns the names of clients, by client id.
func (a *app) clientNames(ctx context.Context, ids []string) (map[string]string, error) {
	names := make(map[string]string)
	for _, id := range ids {
		names[id] = id
	}
	var clients []Client
	if err := a.db.WithContext(ctx).Where("client_id IN ?", ids).Find(&clients).Error; err != nil {
		return nil, err
	}
	for _, client := range clients {
		names[client.ClientID] = client.Name()
	}
	return names, nil
}

// revokeApplication ends all of an application's access. The application has to ask again.
func (a *app) revokeApplication(w http.ResponseWriter, r *http.Request, user *User) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 63)
	if err != nil {
		a.errorPage(w, http.StatusNotFound)
		return
	}
	var token Token
	found := a.db.WithContext(r.Context()).Where("id = ? AND user_id = ?", id, user.ID).Limit(1).Find(&token)
	switch {
	case found.Error != nil:
		a.fail(w, r, found.Error)
	case found.RowsAffected == 0:
		a.errorPage(w, http.StatusNotFound)
	default:
		a.takeBack(w, r, user, token.GetClientID())
	}
}
