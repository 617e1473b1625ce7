package main

import (
	"context"
	"crypto/rand"
	"errors"
	"runtime"
	"time"

	"golang.org/x/crypto/bcrypt"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

// passwords checks sign-ins.
type passwords struct {
	db *gorm.DB
	// nobody is a hash that no password matches.
	nobody []byte
	// failures bounds how often a user's password may be wrong, by user and address.
	failures ratelimit.Limiter
	// checks bounds how many passwords are checked at once.
	checks *ratelimit.Concurrency
}

const (
	wrongPasswords    = 20
	wrongPasswordsPer = 10 * time.Minute
	passwordPatience  = 3 * time.Second
)

func newPasswords(db *gorm.DB) (*passwords, error) {
	hash, err := hashPassword(rand.Text())
	return &passwords{
		db: db, nobody: []byte(hash),
		failures: ratelimit.New(wrongPasswords, wrongPasswordsPer),
		checks:   ratelimit.NewConcurrency(max(1, runtime.GOMAXPROCS(0)/2), passwordPatience),
	}, err
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
// After too many failures from the address it is a [server.TooManyRequests], and
// nothing is checked.
func (p *passwords) check(ctx context.Context, address, username, password string) (*User, error) {
	key := server.Digest(username + "\x00" + address)
	if err := tooMany(p.failures.Wait(ctx, key)); err != nil {
		return nil, err
	}
	user, err := p.verify(ctx, username, password)
	if err != nil || user != nil {
		return user, err
	}
	return nil, tooMany(p.failures.Allow(ctx, key))
}

func tooMany(wait time.Duration, err error) error {
	if err == nil && wait > 0 {
		return server.TooManyRequests(wait, "These were many wrong passwords. Please try again later.")
	}
	return err
}

func (p *passwords) verify(ctx context.Context, username, password string) (*User, error) {
	var user User
	found := p.db.WithContext(ctx).Where("username = ?", username).Where(enabled, false).Limit(1).Find(&user)
	if found.Error != nil {
		return nil, found.Error
	}
	hash, matches := []byte(user.PasswordHash), false
	if found.RowsAffected == 0 {
		hash = p.nobody
	}
	err := p.checks.Do(ctx, func() { matches = bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil })
	if errors.Is(err, ratelimit.ErrBusy) {
		err = errors.Join(server.ErrUnavailable, err)
	}
	if err != nil || !matches || found.RowsAffected == 0 || len(password) > maxPasswordBytes {
		return nil, err
	}
	return &user, nil
}
