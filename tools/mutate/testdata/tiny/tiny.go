// Package tiny has something for each kind of mutant.
package tiny

import (
	"errors"
	"fmt"
	"time"
)

// Stock counts what is there.
type Stock struct {
	Of     map[string]int
	Orders []string
	Until  time.Duration
}

var errNone = errors.New("there is none of it")

// New returns a stock.
func New() *Stock {
	return &Stock{Of: map[string]int{"nails": 3}, Until: 2 * time.Second}
}

// Take takes some, in the order of the names.
func (s *Stock) Take(names ...string) (string, error) {
	for _, name := range names {
		if name == "" {
			continue
		}
		if err := s.take(name); err != nil {
			return "", fmt.Errorf("take some %s: %w", name, err)
		}
		s.Orders = append(s.Orders, name)
	}
	if len(s.Orders) > 2 || s.Until < 0 {
		return s.Orders[0] + "…", nil
	}
	return "few", nil
}

func (s *Stock) take(name string) error {
	if s.Of[name] <= 0 {
		return errNone
	}
	s.Of[name]--
	return nil
}

// Last returns the last of some, or the zero value.
func Last[T any](all []T) T {
	if len(all) == 0 {
		return *new(T)
	}
	return all[len(all)-1]
}

// Unused is what no test calls.
func Unused() bool { return true }
