// Package characters says what is wrong with the characters of a text that people read.
package characters

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// LongestName is the maximum length of a displayed name, in characters.
	LongestName = 100
	// MostMarks is the maximum number of combining marks on one letter: more than any language
	// needs, and too few to cover the lines above and below.
	MostMarks = 4
	// Joiner is the zero width joiner, which combines two symbols into one emoji.
	Joiner = "\u200D"
)

// Fault is what is wrong with a character of displayed text.
type Fault int

const (
	// None is no fault.
	None Fault = iota
	// Invisible is a character that is invisible or changes the direction of text.
	Invisible
	// TooManyMarks is one combining mark too many on one letter.
	TooManyMarks
)

// In iterates over the characters of a text, with what is wrong with each.
func In(text string) iter.Seq2[rune, Fault] {
	return func(yield func(rune, Fault) bool) {
		marks, before := 0, rune(0)
		for text != "" {
			c, size := utf8.DecodeRuneInString(text)
			text = text[size:]
			next, nextSize := utf8.DecodeRuneInString(text)
			if next == utf8.RuneError && nextSize <= 1 {
				next = 0 // the end, or an invalid byte
			}
			fault := None
			switch {
			case IsSpace(c) && c != ' ':
				fault, before, marks = Invisible, ' ', 0
			case IsInvisible(c) && !makesEmoji(before, c, next), c == utf8.RuneError && size == 1:
				fault = Invisible
			case !unicode.IsMark(c):
				before, marks = c, 0
			case marks == MostMarks:
				fault = TooManyMarks
			default:
				before, marks = c, marks+1
			}
			if !yield(c, fault) {
				return
			}
		}
	}
}

// IsSpace reports whether a character is a space or a line break of any kind.
func IsSpace(c rune) bool { return unicode.IsSpace(c) || unicode.Is(unicode.Z, c) }

// makesEmoji reports whether an invisible character combines the symbols next to it into one
// emoji (Unicode Technical Standard 51).
func makesEmoji(before, c, next rune) bool {
	const emojiStyle = '\uFE0F'
	symbol := func(c rune) bool { return !IsInvisible(c) && unicode.In(c, unicode.So, unicode.Sm, unicode.Sk) }
	return c == emojiStyle && symbol(before) || string(c) == Joiner && (symbol(before) || before == emojiStyle) && symbol(next)
}

// IsInvisible reports whether a character is invisible or changes the direction of text:
// controls, bidirectional and other format characters, spaces other than the ASCII space, and
// letters and marks that render as blank.
func IsInvisible(c rune) bool {
	const (
		brailleBlank  = '\u2800'
		nullNotehead  = '\U0001D159'
		khitanFiller  = '\U00016FE4'
		mongolianFVS4 = '\u180F'
	)
	switch c {
	case brailleBlank, nullNotehead, khitanFiller, mongolianFVS4:
		return true
	}
	return !unicode.IsPrint(c) || unicode.In(c, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// HasVisible reports whether a text has at least one visible character.
func HasVisible(text string) bool {
	return strings.ContainsFunc(text, func(c rune) bool { return !IsInvisible(c) && unicode.In(c, unicode.L, unicode.N, unicode.P, unicode.S) })
}

// AreStorable reports whether a text can be stored: it is UTF-8 without NUL.
func AreStorable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }
