package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// readSecrets completes the configuration with the server's secrets: those in GORMOAUTH_SECRET,
// newest first and separated by commas, or otherwise those of a file beside the SQLite database. It
// creates that file if there is none, unless nothing may be changed.
func (c *config) readSecrets(getenv func(string) string, makeThem bool) error {
	text, from := getenv("GORMOAUTH_SECRET"), "GORMOAUTH_SECRET" // not a flag, which other users of the machine could read
	switch {
	case text != "":
	case isPostgres(c.db) && !c.demo:
		return errors.New("GORMOAUTH_SECRET is not set, and encrypts the server's keys in PostgreSQL; make one with 'openssl rand -base64 32', keep it apart from the database, " +
			"and give the same one to every instance")
	case isPostgres(c.db): // nobody else can reach the machine
		text = demoSecret
	case c.db == ":memory:":
		text = newSecret()
	default:
		var err error
		if text, from, err = c.secretsBesideDatabase(makeThem); err != nil {
			return err
		}
	}
	c.secrets = nil
	for _, secret := range strings.Split(strings.TrimSpace(text), ",") {
		if secret = strings.TrimSpace(secret); secret != "" {
			c.secrets = append(c.secrets, []byte(secret))
		}
	}
	if err := c.secrets.Check(); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return nil
}

// secretsBesideDatabase reads the file of secrets, or creates it.
func (c *config) secretsBesideDatabase(makeIt bool) (text, file string, err error) {
	file = c.db + ".secret"
	read, err := os.ReadFile(file) //nolint:gosec // beside the database file, which the operator chooses
	if err == nil || !errors.Is(err, fs.ErrNotExist) || !makeIt {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return string(read), file, err
	}
	text = newSecret()
	if _, err := os.Stat(c.db); err == nil && c.demo {
		text += "," + demoSecret // which earlier demos used
	}
	made, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // as above
	switch {
	case errors.Is(err, fs.ErrNotExist): // the database cannot be created there either, which is reported next
		return "", file, nil
	case err != nil:
		return "", file, fmt.Errorf("cannot make the secret of the server: %w; or set GORMOAUTH_SECRET to what 'openssl rand -base64 32' gives", err)
	}
	_, err = made.WriteString(text + "\n")
	return text, file, errors.Join(err, made.Close())
}

func newSecret() string {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	return base64.RawURLEncoding.EncodeToString(secret)
}

// oldest returns the secret for values that do not say which secret they were made with, because
// they are older than the list of secrets.
func (c *config) oldest() []byte {
	if len(c.secrets) == 0 {
		return nil
	}
	return c.secrets[len(c.secrets)-1]
}

// pairwiseSalt returns the salt of pairwise subjects, which is stored in the database when it is
// first needed.
func (c *config) pairwiseSalt() []byte {
	if len(c.secrets) == 0 {
		return nil
	}
	salt := hmac.New(sha256.New, c.oldest())
	salt.Write([]byte("pairwise subjects"))
	return salt.Sum(nil)
}
