package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"runtime"
	"time"

	"golang.org/x/crypto/bcrypt"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/ratelimit"
	"github.com/gormoauth/gormoauth/server/reason"
	"github.com/gormoauth/gormoauth/server/secret"
)

// passwords checks passwords.
type passwords struct {
	db *gorm.DB
	// nobody is a hash that no password matches.
	nobody []byte
	// byUser bounds how often one user's password may be wrong from one address.
	byUser ratelimit.Limiter
	// byAddress bounds how often any password may be wrong from one address. byUser does not
	// notice an attacker who invents users, or tries one password with all of them. People who
	// share an address share this limit, so it is the larger one. It does not affect users who
	// are signed in.
	byAddress ratelimit.Limiter
	// checks bounds how many passwords and client secrets are checked at once. Addresses take
	// turns.
	checks *ratelimit.Concurrency
}

const (
	wrongPasswords            = 20
	wrongPasswordsFromAddress = 100
	wrongPasswordsPer         = 10 * time.Minute
	// People would rather wait than be refused.
	passwordPatience = 10 * time.Second
)

func newPasswords(db *gorm.DB) (*passwords, error) {
	hash, err := hashPassword(rand.Text())
	return &passwords{
		db: db, nobody: []byte(hash),
		byUser:    ratelimit.New(wrongPasswords, wrongPasswordsPer),
		byAddress: ratelimit.New(wrongPasswordsFromAddress, wrongPasswordsPer),
		checks:    ratelimit.NewConcurrency(max(1, runtime.GOMAXPROCS(0)/2), passwordPatience),
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

// check returns the user with this password. If there is none, the error is a [*reason.Reason],
// which is for the log only. A user who does not exist takes as long as one who does, so that
// nobody can find out which users exist. After too many failures from the address the error is a
// [server.TooManyRequests], under too much load a [server.TooBusy], and nothing is checked.
func (p *passwords) check(ctx context.Context, address, username, password string) (*User, error) {
	limits := []limit{
		{p.byAddress, address, "there were too many wrong passwords from this address"},
		{p.byUser, secret.Digest(username + "\x00" + address), "there were too many wrong passwords of this user from this address"},
	}
	if err := tooMany(ctx, limits, limit.wait); err != nil {
		return nil, err
	}
	user, err := p.find(ctx, username)
	if err != nil {
		return nil, err
	}
	busy := p.checks.Do(ctx, address, func() (good bool) {
		err = p.attempt(ctx, limits, user, password)
		return err == nil
	})
	if busy != nil {
		return nil, server.TooBusy(passwordPatience, "Many passwords are being checked. Please try again later.")
	}
	if err != nil {
		return nil, err
	}
	return user, nil
}

// attempt compares the password once it is its turn, and counts a failure.
func (p *passwords) attempt(ctx context.Context, limits []limit, user *User, password string) error {
	// Others from the address may have failed while this one waited.
	if err := tooMany(ctx, limits, limit.wait); err != nil {
		return err
	}
	why := p.compare(user, password)
	if why == nil {
		return nil
	}
	if err := tooMany(ctx, limits, limit.failed); err != nil {
		return err
	}
	return why
}

// compare returns nil if the password is the user's, and otherwise the reason. user is nil if there
// is none. The reason does not contain what was typed: people sometimes type their password into
// the field of the user name.
func (p *passwords) compare(user *User, password string) error {
	hash := p.nobody
	if user != nil && !user.Disabled {
		hash = []byte(user.PasswordHash)
	}
	good := matches(hash, password)
	switch {
	case user == nil:
		return reason.New("there is no such user")
	case user.Disabled:
		return reason.New("the user is disabled", slog.String("user", user.GetUserID()))
	case !good:
		return reason.New("the password is wrong", slog.String("user", user.GetUserID()))
	}
	return nil
}

// limit is a rate limit on attempts.
type limit struct {
	ratelimit.Limiter
	key    string
	reason string // for the log, if it is exceeded
}

func (l limit) wait(ctx context.Context) (time.Duration, error)   { return l.Wait(ctx, l.key) }
func (l limit) failed(ctx context.Context) (time.Duration, error) { return l.Allow(ctx, l.key) }

// tooMany checks each limit, and returns the answer if one is exceeded.
func tooMany(ctx context.Context, limits []limit, ask func(limit, context.Context) (time.Duration, error)) error {
	var longest time.Duration
	var reason string
	for _, l := range limits {
		wait, err := ask(l, ctx)
		if err != nil {
			return err
		}
		if wait > longest {
			longest, reason = wait, l.reason
		}
	}
	if longest > 0 {
		return server.TooManyRequests(longest, "These were many wrong passwords. Please try again later.").Because(reason, slog.Duration("wait", longest))
	}
	return nil
}

// find returns a user, even a disabled one, or nil if there is none.
func (p *passwords) find(ctx context.Context, username string) (*User, error) {
	var found User
	query := p.db.WithContext(ctx).Where("username = ?", username).Limit(1).Find(&found)
	if query.Error != nil || query.RowsAffected == 0 {
		return nil, query.Error
	}
	return &found, nil
}

func matches(hash []byte, password string) bool {
	return bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil && len(password) <= maxPasswordBytes
}
