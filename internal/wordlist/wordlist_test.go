package wordlist_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/internal/wordlist"
)

func TestWords(t *testing.T) {
	for _, test := range []struct{ list, other, common, without string }{
		{"", "", "", ""},
		{"", "a", "", ""},
		{"a", "", "", "a"},
		{"a", "a", "a", ""},
		{"a b", "b a", "a b", ""},
		{"a b c", "b", "b", "a c"},
		{"a b c", "c  a", "a c", "b"},
		{" a b", "a b", "a b", ""},
		{"a b ", "a b", "a b", ""},
		{"a  b", "a b", "a b", ""},
		{"a\tb", "a b", "a b", ""},
		{"a\nb", "c", "", "a b"},
		{"a\u00a0b", "b", "b", "a"},
		{"a\u0085b", "a b", "a b", ""},
		{"   ", "a", "", ""},
		{"ab", "a b", "", "ab"},
		{"a a", "a", "a a", ""},
	} {
		assert.Equal(t, test.common, wordlist.Common(test.list, test.other), "%q and %q", test.list, test.other)
		assert.Equal(t, test.without, wordlist.Without(test.list, test.other), "%q without %q", test.list, test.other)
		for _, word := range strings.Fields(test.list) {
			assert.True(t, wordlist.Has(test.list, word))
			assert.Equal(t, strings.Contains(" "+test.common+" ", " "+word+" "), wordlist.Has(test.other, word), "%q in %q", word, test.other)
		}
	}
}
