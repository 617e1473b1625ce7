package strictjson

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits of a text.
const (
	// MaxBytes is the maximum length of a text. Requests are limited further.
	MaxBytes = 1 << 20
	// MaxDepth is the maximum nesting depth of objects and arrays.
	MaxDepth = 32
)

// The reasons of an [Error].
var (
	// ErrSyntax means that the text is not JSON in valid UTF-8, or that something follows
	// the value.
	ErrSyntax = errors.New("is not JSON in valid UTF-8")
	// ErrDuplicate means that an object has a member twice.
	ErrDuplicate = errors.New("is given twice")
	// ErrUnknown means that the target of [UnmarshalKnown] does not have the member.
	ErrUnknown = errors.New("is unknown")
	// ErrType means that a value has the wrong JSON type, or is out of range.
	ErrType = errors.New("has the wrong JSON type or is out of range")
	// ErrLimit means that the text is too long or too deeply nested.
	ErrLimit = fmt.Errorf("is longer than %d bytes or deeper than %d levels", MaxBytes, MaxDepth)
)

// Error says what is wrong with a text, and where.
type Error struct {
	// Path is the names and indexes that lead to the fault; empty for the whole text.
	Path []string
	// Reason is one of the errors of this package.
	Reason error
}

// Error returns the place of the fault, as a JSON pointer, and the reason.
func (e *Error) Error() string {
	if len(e.Path) == 0 {
		return "json: the text " + e.Reason.Error()
	}
	return fmt.Sprintf("json: %.100q %s", "/"+strings.Join(e.Path, "/"), e.Reason)
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Reason }

// Member returns the name of the outermost member that contains the fault; empty if the
// fault is in the whole text.
func (e *Error) Member() string {
	if len(e.Path) == 0 {
		return ""
	}
	return e.Path[0]
}

// Unmarshal reads a text into the value that into points to. Members that the value does
// not have are checked like all others, and ignored. After an error the value is zero,
// because a partly read text must not be used. The error is an [*Error].
func Unmarshal(text []byte, into any) error { return unmarshal(text, into) }

// UnmarshalKnown is like Unmarshal, but refuses members that into does not have, at any
// depth.
func UnmarshalKnown(text []byte, into any) error {
	return unmarshal(text, into, json.RejectUnknownMembers(true))
}

// Object reads an object and returns its members by name. It is an error if the text is
// null.
func Object(text []byte) (map[string]stdjson.RawMessage, error) {
	var members map[string]stdjson.RawMessage
	if err := Unmarshal(text, &members); err != nil {
		return nil, err
	}
	if members == nil {
		return nil, &Error{Reason: ErrType}
	}
	return members, nil
}

// Check returns what is wrong with a text of any JSON type; nil if nothing is.
func Check(text []byte) error {
	var value jsontext.Value
	return Unmarshal(text, &value)
}

// Canonical returns a text without whitespace and with sorted members, so that equivalent
// texts can be compared. Numbers are kept as they are written: an amount is not a float.
func Canonical(text []byte) ([]byte, error) {
	var value jsontext.Value
	err := Unmarshal(text, &value)
	if err == nil {
		err = value.Format(jsontext.ReorderRawObjects(true))
	}
	if err != nil {
		return nil, err
	}
	return value, nil
}

// noNullTexts refuses null in a list of texts, which would be read as "".
var noNullTexts = json.WithUnmarshalers(json.UnmarshalFromFunc(func(decoder *jsontext.Decoder, _ *string) error {
	if container, _ := decoder.StackIndex(decoder.StackDepth()); container == '[' && decoder.PeekKind() == 'n' {
		return ErrType
	}
	return errors.ErrUnsupported
}))

func unmarshal(text []byte, into any, options ...json.Options) error {
	err := checkLimits(text)
	if err == nil {
		err = json.Unmarshal(text, into, append(options, noNullTexts)...)
	}
	if err == nil {
		return nil
	}
	if v := reflect.ValueOf(into); v.Kind() == reflect.Pointer && !v.IsNil() {
		v.Elem().SetZero()
	}
	return explain(err)
}

// checkLimits runs before anything else, because parsers recurse. It counts the brackets
// outside of strings, which is correct for all valid JSON; anything else is refused
// later.
func checkLimits(text []byte) error {
	if len(text) > MaxBytes {
		return &Error{Reason: ErrLimit}
	}
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return &Error{Reason: ErrLimit}
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// explain reduces an error to the place and the kind of the fault. It drops any content
// of the text.
func explain(err error) error {
	var own *Error
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &semantic):
		path := pathOf(semantic.JSONPointer)
		switch {
		case errors.As(semantic.Err, &own): // from a type whose UnmarshalJSON uses this package
			return &Error{Path: append(path, own.Path...), Reason: own.Reason}
		case errors.Is(semantic.Err, json.ErrUnknownName):
			return &Error{Path: path, Reason: ErrUnknown}
		}
		return &Error{Path: path, Reason: ErrType}
	case errors.As(err, &own):
		return own
	case errors.As(err, &syntactic) && errors.Is(syntactic.Err, jsontext.ErrDuplicateName):
		return &Error{Path: pathOf(syntactic.JSONPointer), Reason: ErrDuplicate}
	case errors.As(err, &syntactic):
		return &Error{Path: pathOf(syntactic.JSONPointer), Reason: ErrSyntax}
	}
	return &Error{Reason: fmt.Errorf("%w: %w", ErrType, err)}
}

func pathOf(pointer jsontext.Pointer) (path []string) {
	for token := range pointer.Tokens() {
		path = append(path, token)
	}
	return path
}
