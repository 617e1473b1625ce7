package oauthtest

import (
	"context"
	"testing"
	"time"

	"github.com/gormoauth/gormoauth/internal/underway"
)

// Brief is the test's context, in which whoever ends grants waits for little time for what is
// under way.
func Brief(t testing.TB) context.Context { return underway.Shorten(t.Context(), 100*time.Millisecond) }
