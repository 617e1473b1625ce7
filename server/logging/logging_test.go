package logging_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/internal/requestid"
	"github.com/gormoauth/gormoauth/server/logging"
)

func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// A line in the context of a request has its id once, whatever else it has.
func TestALineHasTheIDOfItsRequest(t *testing.T) {
	var log bytes.Buffer
	handler := logging.Handler(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	assert.Equal(t, handler, logging.Handler(handler), "a handler that does it already")
	logger := slog.New(handler)
	r := requestid.Enter(httptest.NewRequest(http.MethodGet, "/", nil), func(*http.Request) string { return "r1" })
	assert.Equal(t, "r1", logging.RequestID(r.Context()))
	for want, line := range map[string]func(){
		"level=INFO msg=m a=1 request_id=r1\n":     func() { logger.InfoContext(r.Context(), "m", "a", 1) },
		"level=INFO msg=m a=1\n":                   func() { logger.InfoContext(t.Context(), "m", "a", 1) },
		"level=INFO msg=m request_id=own a=1\n":    func() { logger.InfoContext(r.Context(), "m", "request_id", "own", "a", 1) },
		"level=INFO msg=m b=2 a=1 request_id=r1\n": func() { logger.With("b", 2).InfoContext(r.Context(), "m", "a", 1) },
		"level=INFO msg=m g.a=1 g.request_id=r1\n": func() { logger.WithGroup("g").InfoContext(r.Context(), "m", "a", 1) },
	} {
		log.Reset()
		line()
		assert.Equal(t, want, log.String())
	}
}
