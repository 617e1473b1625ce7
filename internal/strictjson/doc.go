// Package strictjson reads JSON of untrusted origin in one strict way.
//
// encoding/json matches member names case-insensitively, so that "ſcope" (U+017F) is
// "scope", and lets the last of several members with the same name win: different readers
// of the same text see different things. Here
//
//   - the names of members are compared exactly (RFC 8259 section 8.3),
//   - a duplicate name in an object is an error, at any depth, including parts that
//     are kept raw or are not read at all (RFC 7493 section 2.3),
//   - text is valid UTF-8, and each escape is a Unicode character (RFC 7493 section
//     2.1),
//   - size and depth are limited, and nothing follows the value.
//
// Types with their own UnmarshalJSON get text that has passed all of these checks.
//
// [Stored] and [StoredList] read JSON that was stored before these rules existed, and
// leave out whatever breaks them, so that older rows keep working without it.
package strictjson
