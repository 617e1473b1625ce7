package display_test

import (
	"testing"

	"github.com/gormoauth/gormoauth/server/display"
)

func TestLocalPath(t *testing.T) {
	for _, next := range []string{"/", "/login", "/a page", "/ä", "/oauth/authorize?client_id=a&redirect_uri=https%3A%2F%2Fapp.example%2F", "/a?b=//c"} {
		if got := display.LocalPath(next); got != next {
			t.Errorf("LocalPath(%q) = %q", next, got)
		}
	}
	for _, next := range []string{
		"", "home", "//evil.example", "///evil.example", `/\evil.example`, `\\evil.example`, `/a\b`, "https://evil.example/",
		"javascript:alert(1)", "/\t/evil.example", "/\n/evil.example", " /a", "http:evil.example", "/%zz", "\x00/", "/a\x1f", "/a\x7f", "@evil.example",
	} {
		if got := display.LocalPath(next); got != "/" {
			t.Errorf("LocalPath(%q) = %q, want /", next, got)
		}
	}
}
