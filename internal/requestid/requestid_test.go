package requestid

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestARequestHasOneName(t *testing.T) {
	assert.Empty(t, From(t.Context()))
	for header, taken := range map[string]bool{
		"4f1c": true, "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331": true, "Root=1-67891233-abcdef": true, strings.Repeat("a", 64): true,
		"": false, strings.Repeat("a", 65): false, "a b": false, "a\"b": false, "a\tb": false, "é": false, "a,b": false,
	} {
		r := &http.Request{Header: http.Header{"X-Request-Id": {header}}}
		ctx := With(t.Context(), r, nil)
		id := From(ctx)
		assert.Equal(t, taken, id == header, "%q became %q", header, id)
		assert.NotEmpty(t, id)
		assert.Equal(t, id, From(ctx), "each time")
		assert.Equal(t, id, From(With(ctx, &http.Request{}, nil)), "and further in")
	}
	own := func(value string) func(*http.Request) string { return func(*http.Request) string { return value } }
	r := &http.Request{Header: http.Header{"X-Request-Id": {"header"}}}
	assert.Equal(t, "own", From(With(t.Context(), r, own("own"))))
	assert.Len(t, From(With(t.Context(), r, own("not\none"))), 26, "a program that hands on what came is held to the same")
	first, second := From(With(t.Context(), r, own(""))), From(With(t.Context(), r, own("")))
	assert.NotEqual(t, first, second)
}
