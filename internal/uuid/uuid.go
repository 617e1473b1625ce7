// Package uuid has ids as programs often have them, for tests that need some type of that
// kind. Those of github.com/google/uuid are stored and read in internal/engines.
package uuid

import (
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// UUID is 16 bytes, and a text outside of the program.
type UUID [16]byte

// Parse reads the form with four hyphens.
func Parse(text string) (id UUID, err error) {
	err = id.UnmarshalText([]byte(text))
	return id, err
}

// String returns the form with four hyphens.
func (u UUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// MarshalText is String.
func (u UUID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads what String returns.
func (u *UUID) UnmarshalText(text []byte) error {
	digits, err := hex.DecodeString(strings.ReplaceAll(string(text), "-", ""))
	if err != nil || len(digits) != len(u) || UUID(digits).String() != strings.ToLower(string(text)) {
		return errors.New("no UUID")
	}
	copy(u[:], digits)
	return nil
}

// Value is String.
func (u UUID) Value() (driver.Value, error) { return u.String(), nil }

// Scan reads what Value returns.
func (u *UUID) Scan(column any) error { return u.UnmarshalText([]byte(fmt.Sprint(column))) }
