package main

import (
	"context"
	"crypto/rand"

	"golang.org/x/crypto/bcrypt"
	"gorm.io/gorm"
)

// passwords checks sign-ins.
type passwords struct {
	db *gorm.DB
	// nobody is a hash that no password matches.
	nobody []byte
}

func newPasswords(db *gorm.DB) (*passwords, error) {
	hash, err := hashPassword(rand.Text())
	return &passwords{db, []byte(hash)}, err
}

// bcrypt reads no more than this of a password.
const maxPasswordBytes = 72

// passwordCost is lower in this package's tests.
var passwordCost = bcrypt.DefaultCost

func hashPassword(password string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), passwordCost)
	return string(hash), err
}

// check returns the user with this password, nil when there is none. It takes
// as long for a user who does not exist, so that nobody can learn who does.
func (p *passwords) check(ctx context.Context, username, password string) (*User, error) {
	var user User
	found := p.db.WithContext(ctx).Where("username = ?", username).Where(enabled, false).Limit(1).Find(&user)
	if found.Error != nil {
		return nil, found.Error
	}
	hash := []byte(user.PasswordHash)
	if found.RowsAffected == 0 {
		hash = p.nobody
	}
	matches := bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil
	if !matches || found.RowsAffected == 0 || len(password) > maxPasswordBytes {
		return nil, nil
	}
	return &user, nil
}
