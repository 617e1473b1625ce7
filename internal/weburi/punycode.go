package weburi

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// isALabel reports whether a label that begins with "xn--" is a valid punycode form (RFC
// 5890 section 2.3.2.1): browsers refuse a host with an invalid one, or interpret it in
// different ways. The decoded label has to contain a non-ASCII character and be in the
// form in which it is compared: normalized, in lowercase, and consisting of visible
// characters and joiners.
func isALabel(label string) bool {
	text, ok := decodePunycode(strings.ToLower(label[len("xn--"):]))
	if !ok || !norm.NFKC.IsNormalString(text) || strings.ToLower(text) != text {
		return false
	}
	const joiners = "\u200c\u200d"
	first, _ := utf8.DecodeRuneInString(text)
	return !unicode.IsMark(first) && strings.ContainsFunc(text, isBeyondASCII) && !strings.ContainsFunc(text, func(c rune) bool {
		return isBeyondASCII(c) && (!unicode.IsGraphic(c) || unicode.IsSpace(c)) && !strings.ContainsRune(joiners, c)
	})
}

func isBeyondASCII(c rune) bool { return c > unicode.MaxASCII }

// Parameters of RFC 3492 section 5.
const (
	base        = 36
	tMin        = 1
	tMax        = 26
	skew        = 38
	damp        = 700
	initialBias = 72
	initialN    = 128
	digits      = "abcdefghijklmnopqrstuvwxyz0123456789"
)

// decodePunycode decodes the part after "xn--", which must be in lowercase (RFC 3492
// section 6.2).
func decodePunycode(encoded string) (text string, ok bool) {
	const greatest = unicode.MaxRune * 64 // more than a label of 63 characters can encode
	var runes []rune
	if i := strings.LastIndexByte(encoded, '-'); i >= 0 {
		runes, encoded = []rune(encoded[:i]), encoded[i+1:]
	}
	n, i, bias := initialN, 0, initialBias
	for encoded != "" {
		before, weight := i, 1
		for k := base; ; k += base {
			if encoded == "" {
				return "", false
			}
			digit := strings.IndexByte(digits, encoded[0])
			if digit < 0 {
				return "", false
			}
			encoded = encoded[1:]
			i += digit * weight
			threshold := min(max(k-bias, tMin), tMax)
			weight *= base - threshold
			if i > greatest {
				return "", false
			}
			if digit < threshold {
				break
			}
			if weight > greatest {
				return "", false
			}
		}
		length := len(runes) + 1
		bias = adapt(i-before, length, before == 0)
		n += i / length
		i %= length
		if n > unicode.MaxRune {
			return "", false
		}
		next := rune(n) //nolint:gosec // n fits: it is at most unicode.MaxRune
		if !utf8.ValidRune(next) {
			return "", false
		}
		runes = slices.Insert(runes, i, next)
		i++
	}
	return string(runes), true
}

// adapt returns the bias of the next character (RFC 3492 section 6.1).
func adapt(delta, length int, first bool) int {
	if first {
		delta /= damp
	} else {
		delta /= 2
	}
	delta += delta / length
	k := 0
	for ; delta > (base-tMin)*tMax/2; k += base {
		delta /= base - tMin
	}
	return k + (base-tMin+1)*delta/(delta+skew)
}
