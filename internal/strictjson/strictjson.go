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
	// MaxBytes is how long a text may be. What comes by a request is bounded further.
	MaxBytes = 1 << 20
	// MaxDepth is how many objects and lists may stand in one another.
	MaxDepth = 32
)

// What may be wrong with a text.
var (
	// ErrSyntax is what is not JSON, or has something behind the value.
	ErrSyntax = errors.New("is not JSON in valid UTF-8")
	// ErrDuplicate is a member that an object has twice.
	ErrDuplicate = errors.New("is given twice")
	// ErrUnknown is a member that [UnmarshalKnown] does not know.
	ErrUnknown = errors.New("is unknown")
	// ErrType is a value of another JSON type than it should have, or out of range.
	ErrType = errors.New("has another JSON type or range than it should")
	// ErrLimit is a text that is too long or too deep.
	ErrLimit = fmt.Errorf("is longer than %d bytes or deeper than %d levels", MaxBytes, MaxDepth)
)

// Error says what is wrong with a text, and where.
type Error struct {
	// Path is the names and indexes that lead to the fault; none is the whole text.
	Path []string
	// Reason is one of the errors of this package.
	Reason error
}

// Error returns where the fault is, as a JSON pointer, and what it is.
func (e *Error) Error() string {
	if len(e.Path) == 0 {
		return "json: the text " + e.Reason.Error()
	}
	return fmt.Sprintf("json: %.100q %s", "/"+strings.Join(e.Path, "/"), e.Reason)
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Reason }

// Member returns the name of the outermost member in which the fault is, empty
// when it is that of the whole text.
func (e *Error) Member() string {
	if len(e.Path) == 0 {
		return ""
	}
	return e.Path[0]
}

// Unmarshal reads a text into what a pointer points to. Members that it does not
// have are checked like all others, and left out. After an error nothing is there:
// half a text means nothing. The error is an [*Error].
func Unmarshal(text []byte, into any) error { return unmarshal(text, into) }

// UnmarshalKnown is Unmarshal that refuses members which into does not have, at any
// depth.
func UnmarshalKnown(text []byte, into any) error {
	return unmarshal(text, into, json.RejectUnknownMembers(true))
}

// Object reads an object member by member. null is no object.
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

// Check reports what is wrong with a text, whatever it says.
func Check(text []byte) error {
	var value jsontext.Value
	return Unmarshal(text, &value)
}

// Canonical returns a text without spaces and with its members in order, so that two
// that say the same can be compared. Numbers stay as they are written: an amount is
// not a float.
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

func unmarshal(text []byte, into any, options ...json.Options) error {
	err := checkLimits(text)
	if err == nil {
		err = json.Unmarshal(text, into, options...)
	}
	if err == nil {
		return nil
	}
	if v := reflect.ValueOf(into); v.Kind() == reflect.Pointer && !v.IsNil() {
		v.Elem().SetZero()
	}
	return explain(err)
}

// checkLimits is done before anything else: what reads a text recurses. It counts
// the brackets outside of strings, which is right for all JSON; what is not JSON is
// refused later.
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

// explain keeps of an error where the fault is and of what kind. What stands in the
// text it does not keep.
func explain(err error) error {
	var own *Error
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &semantic):
		path := pathOf(semantic.JSONPointer)
		switch {
		case errors.As(semantic.Err, &own): // of a type that reads itself by this package
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
