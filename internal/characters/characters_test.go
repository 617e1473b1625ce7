package characters_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/internal/characters"
)

// A text is written with what is wrong with each character: '.' is nothing, 'i' invisible,
// 'm' a mark too many.
func TestIn(t *testing.T) {
	const joiner, style, mark = characters.Joiner, "\uFE0F", "\u0301"
	for text, want := range map[string]string{
		"":                              "",
		"a b":                           "...",
		"a\tb\u00A0c\u2028d":            ".i.i.i.",
		"\u202Ea\u200B":                 "i.i",
		"a" + mark + mark + mark + mark: ".....",
		"a" + mark + mark + mark + mark + mark + mark:                             ".....mm",
		"a" + mark + mark + mark + mark + "b" + mark:                              ".......",
		"a" + mark + mark + mark + mark + " " + mark:                              ".......",
		"a" + mark + mark + mark + mark + "\t" + mark + mark + mark + mark + mark: ".....i....m",
		"❤" + style:                        "..",
		"a" + style:                        ".i",
		"❤" + style + style:                "..i",
		"👩" + joiner + "🚀":                 "...",
		"❤" + style + joiner + "🔥":         "....",
		"👩" + joiner:                       ".i",
		"👩" + joiner + "a":                 ".i.",
		"a" + joiner + "👩":                 ".i.",
		joiner + "👩":                       "i.",
		"👩" + joiner + "\xff":              ".ii",
		"👩" + joiner + "\uFFFD":            "...",
		"👩\t" + joiner + "🚀":               ".ii.",
		"\xffa\xc3":                        "i.i",
		"\u2800\U0001D159\U00016FE4\u180F": "iiii",
		"\u3164\u115F":                     "ii",
	} {
		got := ""
		for _, fault := range characters.In(text) {
			got += map[characters.Fault]string{characters.None: ".", characters.Invisible: "i", characters.TooManyMarks: "m"}[fault]
		}
		assert.Equal(t, want, got, "%+q", text)
	}
	for range characters.In("two") {
		break // as whoever has seen enough does
	}
}

func TestHasVisible(t *testing.T) {
	for text, want := range map[string]bool{"": false, " ": false, "\u200B\u3164\u2800": false, "\u0301": false, "a": true, "1": true, " - ": true, "👩": true} {
		assert.Equal(t, want, characters.HasVisible(text), "%+q", text)
	}
}

func TestAreStorable(t *testing.T) {
	for text, want := range map[string]bool{"": true, "äöü\n": true, "a\x00b": false, "\xff": false} {
		assert.Equal(t, want, characters.AreStorable(text), "%+q", text)
	}
}
