// Package strictjson reads JSON that others write, in one strict way.
//
// encoding/json matches the names of members by case folding, so that "ſcope"
// (U+017F) is "scope", and lets the last of two members of one name win: two
// readers of one text see two things. Here
//
//   - the names of members are compared exactly (RFC 8259 section 8.3),
//   - a name that an object has twice is an error, at any depth, also in parts that
//     are kept raw or are not read at all (RFC 7493 section 2.3),
//   - text is valid UTF-8, and each escape a Unicode character (RFC 7493 section
//     2.1),
//   - size and depth are bounded, and nothing follows the value.
//
// Types with an UnmarshalJSON of their own get text for which all of this holds.
//
// What was stored before this rule is read by [Stored] and [StoredList], which leave out
// what is not so: a row that is older goes on without it.
package strictjson
