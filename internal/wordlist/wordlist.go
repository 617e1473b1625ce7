// Package wordlist handles lists of words in one string, separated by white space, such as a scope
// (RFC 6749 section 3.3). Its functions return a list with single spaces.
package wordlist

import (
	"slices"
	"strings"
)

// Has reports whether a list has a word.
func Has(list, word string) bool {
	for w := range strings.FieldsSeq(list) {
		if w == word {
			return true
		}
	}
	return false
}

// Keep returns the words of a list for which wanted returns true.
func Keep(list string, wanted func(word string) bool) string {
	switch {
	case isWhole(list, wanted):
		return list
	case !hasAny(list, wanted):
		return ""
	}
	return strings.Join(slices.DeleteFunc(strings.Fields(list), func(word string) bool { return !wanted(word) }), " ")
}

// isWhole reports whether all of a list is wanted and it has single spaces, so that it is its
// own result. Nearly every list is.
func isWhole(list string, wanted func(word string) bool) bool {
	length := 0
	for word := range strings.FieldsSeq(list) {
		if !wanted(word) {
			return false
		}
		length += len(word) + 1
	}
	return length == len(list)+1 && !strings.ContainsAny(list, "\t\n\v\f\r")
}

func hasAny(list string, wanted func(word string) bool) bool {
	for word := range strings.FieldsSeq(list) {
		if wanted(word) {
			return true
		}
	}
	return false
}

// Common returns the words of a list that the other one has, too.
func Common(list, other string) string {
	return Keep(list, func(word string) bool { return Has(other, word) })
}

// Without returns the words of a list that the other one does not have.
func Without(list, other string) string {
	return Keep(list, func(word string) bool { return !Has(other, word) })
}
