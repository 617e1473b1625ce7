package ratelimit

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestRemoteAddress(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:1234":            "192.0.2.1",
		"192.0.2.1:4321":            "192.0.2.1",
		"[::ffff:192.0.2.1]:1":      "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:1":  "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::1]:99": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1":          "fe80::/64",
		"@":                         "@",
	} {
		assert.Equal(t, want, RemoteAddress(&http.Request{RemoteAddr: remote}), remote)
	}
}
