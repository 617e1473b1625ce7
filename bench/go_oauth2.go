package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/go-oauth2/oauth2/v4"
	"github.com/go-oauth2/oauth2/v4/manage"
	"github.com/go-oauth2/oauth2/v4/models"
	"github.com/go-oauth2/oauth2/v4/server"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// goOAuth2 is go-oauth2/oauth2 with its default manager. Its GORM store cannot
// be had as a Go module, so that goOAuth2Store stands in for it: one table of the
// same columns, a JSON document with the credentials beside it in plaintext, and
// the same statement for each method.
type goOAuth2 struct {
	manager *manage.Manager
	server  *server.Server
}

// storeItem is a row of the store. The store as it is published has no index
// but the primary key.
type storeItem struct {
	ID        int64 `gorm:"primaryKey;autoIncrement"`
	ExpiredAt int64
	Code      string `gorm:"type:varchar(512)"`
	Access    string `gorm:"type:varchar(512)"`
	Refresh   string `gorm:"type:varchar(512)"`
	Data      string `gorm:"type:text"`
}

// TableName is the store's.
func (storeItem) TableName() string { return "oauth2_token" }

type storeClient struct {
	ID, Secret, Domain string
}

func newGoOAuth2(indexed bool) func(db *gorm.DB) (contestant, error) {
	return func(db *gorm.DB) (contestant, error) {
		if err := db.AutoMigrate(&storeItem{}, &storeClient{}); err != nil {
			return nil, err
		}
		if indexed {
			for _, column := range []string{"code", "access", "refresh"} {
				if err := db.Exec("CREATE INDEX IF NOT EXISTS idx_oauth2_token_" + column + " ON oauth2_token (" + column + ")").Error; err != nil {
					return nil, err
				}
			}
		}
		row := &storeClient{clientID, clientSecret, redirectURI}
		if err := db.Clauses(clause.OnConflict{DoNothing: true}).Create(row).Error; err != nil {
			return nil, err
		}
		manager := manage.NewDefaultManager()
		manager.MapTokenStorage(goOAuth2Store{db})
		manager.MapClientStorage(goOAuth2Clients{db})
		s := server.NewDefaultServer(manager)
		s.SetClientInfoHandler(server.ClientBasicHandler)
		s.SetAllowedGrantType(oauth2.AuthorizationCode, oauth2.ClientCredentials, oauth2.Refreshing)
		return &goOAuth2{manager, s}, nil
	}
}

// Token is the token endpoint.
func (g *goOAuth2) Token(w http.ResponseWriter, r *http.Request) {
	_ = g.server.HandleTokenRequest(w, r)
}

// API is the protected resource.
func (g *goOAuth2) API(w http.ResponseWriter, r *http.Request) {
	if _, err := g.server.ValidationBearerToken(r); err != nil {
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// Code has the manager make a code.
func (g *goOAuth2) Code(ctx context.Context) (string, error) {
	info, err := g.manager.GenerateAuthToken(ctx, oauth2.Code, &oauth2.TokenGenerateRequest{
		ClientID: clientID, UserID: "1", RedirectURI: redirectURI, Scope: "profile",
		CodeChallenge: challenge, CodeChallengeMethod: oauth2.CodeChallengeS256,
	})
	if err != nil {
		return "", err
	}
	return info.GetCode(), nil
}

type goOAuth2Clients struct{ db *gorm.DB }

// GetByID loads a client.
func (c goOAuth2Clients) GetByID(ctx context.Context, id string) (oauth2.ClientInfo, error) {
	var row storeClient
	if err := c.db.WithContext(ctx).Where("id = ?", id).First(&row).Error; err != nil {
		return nil, err
	}
	return &models.Client{ID: row.ID, Secret: row.Secret, Domain: row.Domain}, nil
}

type goOAuth2Store struct{ db *gorm.DB }

// Create stores a token or a code.
func (s goOAuth2Store) Create(ctx context.Context, info oauth2.TokenInfo) error {
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	item := &storeItem{Data: string(data)}
	if code := info.GetCode(); code != "" {
		item.Code = code
		item.ExpiredAt = info.GetCodeCreateAt().Add(info.GetCodeExpiresIn()).Unix()
	} else {
		item.Access, item.Refresh = info.GetAccess(), info.GetRefresh()
		item.ExpiredAt = info.GetAccessCreateAt().Add(info.GetAccessExpiresIn()).Unix()
		if item.Refresh != "" {
			item.ExpiredAt = info.GetRefreshCreateAt().Add(info.GetRefreshExpiresIn()).Unix()
		}
	}
	if item.ExpiredAt < time.Now().Unix() {
		item.ExpiredAt = 0
	}
	return s.db.WithContext(ctx).Create(item).Error
}

func (s goOAuth2Store) remove(ctx context.Context, column, value string) error {
	return s.db.WithContext(ctx).Model(&storeItem{}).Where(column+" = ?", value).Update(column, "").Error
}

func (s goOAuth2Store) get(ctx context.Context, column, value string) (oauth2.TokenInfo, error) {
	var item storeItem
	result := s.db.WithContext(ctx).Where(column+" = ?", value).Limit(1).Find(&item)
	if result.Error != nil || value == "" || result.RowsAffected == 0 {
		return nil, result.Error
	}
	info := models.NewToken()
	return info, json.Unmarshal([]byte(item.Data), info)
}

// RemoveByCode empties the column of a code.
func (s goOAuth2Store) RemoveByCode(ctx context.Context, code string) error {
	return s.remove(ctx, "code", code)
}

// RemoveByAccess empties the column of an access token.
func (s goOAuth2Store) RemoveByAccess(ctx context.Context, access string) error {
	return s.remove(ctx, "access", access)
}

// RemoveByRefresh empties the column of a refresh token.
func (s goOAuth2Store) RemoveByRefresh(ctx context.Context, refresh string) error {
	return s.remove(ctx, "refresh", refresh)
}

// GetByCode loads a code.
func (s goOAuth2Store) GetByCode(ctx context.Context, code string) (oauth2.TokenInfo, error) {
	return s.get(ctx, "code", code)
}

// GetByAccess loads an access token.
func (s goOAuth2Store) GetByAccess(ctx context.Context, access string) (oauth2.TokenInfo, error) {
	return s.get(ctx, "access", access)
}

// GetByRefresh loads a refresh token.
func (s goOAuth2Store) GetByRefresh(ctx context.Context, refresh string) (oauth2.TokenInfo, error) {
	return s.get(ctx, "refresh", refresh)
}
