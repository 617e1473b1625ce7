package strictjson_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

type document struct {
	Scope string            `json:"scope"`
	Kinds []string          `json:"kinds"`
	Raw   json.RawMessage   `json:"raw"`
	Inner *document         `json:"inner"`
	Words map[string]string `json:"words"`
	Key   *jose.JSONWebKey  `json:"key"`
	Own   *itself           `json:"own"`
	Any   any               `json:"any"`
}

// itself is a type that reads itself.
type itself struct{ Name string }

func (i *itself) UnmarshalJSON(text []byte) error {
	return strictjson.Unmarshal(text, &struct {
		Name *string `json:"name"`
	}{&i.Name})
}

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

func TestATextHasOneReading(t *testing.T) {
	for _, row := range []struct {
		rule, text string
		reason     error
		where      string
	}{
		{"an object", `{"scope":"a","kinds":["b"],"raw":{"c":[1]},"any":{"d":1.5e3}}`, nil, ""},
		{"spaces around it", " \n{\"scope\":\"a\"}\t ", nil, ""},
		{"a name twice", `{"scope":"a","scope":"a"}`, strictjson.ErrDuplicate, "scope"},
		{"a name twice in two spellings", `{"scope":"a","sc\u006fpe":"b"}`, strictjson.ErrDuplicate, "scope"},
		{"an unknown name twice", `{"x":1,"x":1}`, strictjson.ErrDuplicate, "x"},
		{"twice within an unknown member", `{"x":[{"y":{"z":1,"z":2}}]}`, strictjson.ErrDuplicate, "x"},
		{"twice within a raw member", `{"raw":{"y":[{"z":1,"z":2}]}}`, strictjson.ErrDuplicate, "raw"},
		{"twice within any", `{"any":{"z":1,"z":2}}`, strictjson.ErrDuplicate, "any"},
		{"twice within a map", `{"words":{"z":"1","z":"2"}}`, strictjson.ErrDuplicate, "words"},
		{"twice within a struct", `{"inner":{"scope":"1","scope":"2"}}`, strictjson.ErrDuplicate, "inner"},
		{"twice within a type that reads itself", `{"own":{"name":"1","x":{"y":1,"y":2}}}`, strictjson.ErrDuplicate, "own"},
		{"twice within what a key does not know", `{"key":{"kty":"oct","k":"AAAA","x":{"y":1,"y":2}}}`, strictjson.ErrDuplicate, "key"},
		{"something behind it", `{"scope":"a"}{"scope":"b"}`, strictjson.ErrSyntax, ""},
		{"a letter behind it", `{"scope":"a"}x`, strictjson.ErrSyntax, ""},
		{"nothing", ``, strictjson.ErrSyntax, ""},
		{"half of it", `{"scope":"a"`, strictjson.ErrSyntax, ""},
		{"a comment", `{"scope":/**/"a"}`, strictjson.ErrSyntax, "scope"},
		{"a byte order mark", "\xef\xbb\xbf{}", strictjson.ErrSyntax, ""},
		{"no valid UTF-8 in a value", "{\"scope\":\"\xff\"}", strictjson.ErrSyntax, "scope"},
		{"no valid UTF-8 in a name", "{\"\xff\":1}", strictjson.ErrSyntax, ""},
		{"no valid UTF-8 in a raw member", "{\"raw\":[\"\xff\"]}", strictjson.ErrSyntax, "raw"},
		{"half a surrogate pair", `{"scope":"\ud800"}`, strictjson.ErrSyntax, "scope"},
		{"a number as text", `{"scope":1}`, strictjson.ErrType, "scope"},
		{"a text in the place of a list", `{"kinds":"a"}`, strictjson.ErrType, "kinds"},
		{"null in a list of texts", `{"kinds":["a",null]}`, strictjson.ErrType, "kinds"},
		{"null in place of a list of texts", `{"kinds":null,"scope":null}`, nil, ""},
		{"null in a map of texts", `{"words":{"a":null}}`, nil, ""},
		{"a number in a list of texts", `{"kinds":["a",1]}`, strictjson.ErrType, "kinds"},
		{"a number beyond any float", `{"any":1e400}`, strictjson.ErrType, "any"},
		{"NaN", `{"any":NaN}`, strictjson.ErrSyntax, "any"},
		{"no object", `[]`, strictjson.ErrType, ""},
		{"as deep as may be", `{"any":` + nested(strictjson.MaxDepth-1) + `}`, nil, ""},
		{"too deep", `{"any":` + nested(strictjson.MaxDepth) + `}`, strictjson.ErrLimit, ""},
		{"too deep in what is not read", `{"x":` + nested(strictjson.MaxDepth) + `}`, strictjson.ErrLimit, ""},
		{"brackets in a text are no depth", `{"scope":"\"\\` + strings.Repeat("[", 99) + `"}`, nil, ""},
		{"as long as may be", `{"scope":"` + strings.Repeat("a", strictjson.MaxBytes-12) + `"}`, nil, ""},
		{"too long", `{"scope":"` + strings.Repeat("a", strictjson.MaxBytes-11) + `"}`, strictjson.ErrLimit, ""},
	} {
		t.Run(row.rule, func(t *testing.T) {
			read := document{Scope: "of before"}
			err := strictjson.Unmarshal([]byte(row.text), &read)
			if row.reason == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, row.reason)
			var fault *strictjson.Error
			require.ErrorAs(t, err, &fault)
			assert.Equal(t, row.where, fault.Member())
			assert.Zero(t, read, "half a text means nothing")
		})
	}
}

// What folds to the name of a member is another name.
func TestNamesAreComparedExactly(t *testing.T) {
	for _, name := range []string{"ſcope", "Scope", "SCOPE", "sco\u0070e ", "scope\u0000", "inner_", "\u212Aey", "ＳＣＯＰＥ"} {
		text, err := json.Marshal(map[string]string{name: "admin"})
		require.NoError(t, err)
		read := new(document)
		require.NoError(t, strictjson.Unmarshal(text, read), name)
		assert.Zero(t, *read, name)
		assert.ErrorIs(t, strictjson.UnmarshalKnown(text, read), strictjson.ErrUnknown, name)
	}
	read := new(document)
	require.NoError(t, strictjson.Unmarshal([]byte(`{"scope":"a","ſcope":"admin"}`), read))
	assert.Equal(t, "a", read.Scope)
}

func TestUnknownMembersAreRefusedAtAnyDepth(t *testing.T) {
	for text, where := range map[string][]string{
		`{"recurring":"weekly"}`:                       {"recurring"},
		`{"inner":{"recurring":"weekly"}}`:             {"inner", "recurring"},
		`{"inner":{"inner":{"a/b~c":1}}}`:              {"inner", "inner", "a/b~c"},
		`{"scope":"a","inner":{"scope":"a"},"raw":{}}`: nil,
	} {
		err := strictjson.UnmarshalKnown([]byte(text), new(document))
		if where == nil {
			assert.NoError(t, err)
			continue
		}
		var fault *strictjson.Error
		require.ErrorAs(t, err, &fault)
		assert.Equal(t, where, fault.Path)
		assert.ErrorIs(t, err, strictjson.ErrUnknown)
	}
}

func TestAnObjectIsReadMemberByMember(t *testing.T) {
	members, err := strictjson.Object([]byte(`{"a": {"b": [1, 2]}, "c":null}`))
	require.NoError(t, err)
	assert.Equal(t, map[string]json.RawMessage{"a": json.RawMessage(`{"b": [1, 2]}`), "c": json.RawMessage("null")}, members)
	for _, text := range []string{`null`, `[]`, `"a"`, `1`, ``, `{"a":1,"a":1}`, `{"a":{"b":1,"b":1}}`} {
		_, err := strictjson.Object([]byte(text))
		assert.Error(t, err, text)
	}
	members, err = strictjson.Object([]byte(`{}`))
	require.NoError(t, err)
	assert.NotNil(t, members)
}

func TestTwoTextsThatSayTheSame(t *testing.T) {
	canonical := func(text string) string {
		out, err := strictjson.Canonical([]byte(text))
		require.NoError(t, err)
		return string(out)
	}
	assert.Equal(t, canonical(`{"b":[1,{"d":"\u0041","c":2}],"a":"x"}`), canonical("{ \"a\" :\"x\",\n\"b\":[1, {\"c\":2,\"d\":\"A\"}]}"))
	assert.NotEqual(t, canonical(`[1,2]`), canonical(`[2,1]`))
	large := new(big.Int).Lsh(big.NewInt(1), 53)
	assert.NotEqual(t, canonical(large.String()), canonical(large.Add(large, big.NewInt(1)).String()), "an amount is not a float")
	assert.NotEqual(t, canonical(`0.1`), canonical(`0.10000000000000000000001`))
	_, err := strictjson.Canonical([]byte(`{"a":1,"a":1}`))
	assert.Error(t, err)
}

// What was stored before the rule is read as far as it can be.
func TestAStoredObjectGoesOnWithoutItsBadMembers(t *testing.T) {
	good := func(names ...string) []string { return names }
	for _, row := range []struct {
		text   string
		good   []string
		faults []string
	}{
		{`{"a":1,"b":[{}]}`, good("a", "b"), nil},
		{`{}`, nil, nil},
		{`{"a":1,"b":2,"a":3}`, good("b"), []string{`json: "/a" is given twice`}},
		{`{"a":1,"b":{"c":[{"d":1,"d":2}]}}`, good("a"), []string{`json: "/b/c/0/d" is given twice`}},
		{"{\"a\":1,\"b\":\"\xff\"}", good("a"), []string{`json: "/b" is not JSON in valid UTF-8`}},
		{"{\"a\":1,\"\xff\":1}", good("a"), []string{"json: \"/\uFFFD\" is not JSON in valid UTF-8"}},
		{`{"a":1,"b":"\ud800"}`, good("a"), []string{`json: "/b" is not JSON in valid UTF-8`}},
		{`{"a":` + nested(strictjson.MaxDepth+1) + `,"b":1}`, good("b"), []string{`json: "/a" is longer than 1048576 bytes or deeper than 32 levels`}},
		{`{"a":{"x":1,"x":1},"a":1}`, nil, []string{`json: "/a/x" is given twice`}},
	} {
		members, faults, err := strictjson.Stored([]byte(row.text))
		require.NoError(t, err, row.text)
		for _, name := range row.good {
			assert.Contains(t, members, name, row.text)
		}
		assert.Len(t, members, len(row.good), row.text)
		var told []string
		for _, fault := range faults {
			told = append(told, fault.Error())
		}
		assert.Equal(t, row.faults, told, row.text)
	}
	for _, text := range []string{``, `null`, `[]`, `{"a":1`, `{"a":1,"a":2}x`, `{"a":1,"a":2}{}`, `x`, `{"a" 1}`} {
		_, _, err := strictjson.Stored([]byte(text))
		assert.Error(t, err, text)
		assert.NotEqual(t, new(strictjson.Error), err, "%s: it says why", text)
	}
}

// A stored list of objects is read without those of its elements that are not as they have
// to be; what is no list is nothing.
func TestAStoredListGoesOnWithoutItsBadElements(t *testing.T) {
	deep := strings.Repeat("[", strictjson.MaxDepth-2) + strings.Repeat("]", strictjson.MaxDepth-2)
	long := `{"a":"` + strings.Repeat("a", strictjson.MaxBytes/2) + `"}`
	for _, row := range []struct{ text, want string }{
		{``, ``}, {`[{"a":1},{"b":[1.50]}]`, `[{"a":1},{"b":[1.50]}]`}, {` [ {} ] `, ` [ {} ] `}, {`[{"a":` + deep + `}]`, `[{"a":` + deep + `}]`},
		{`[{"a":1},{"b":1,"b":2}]`, `[{"a":1}]`}, {`[{"b":{"c":[{"d":1,"d":1}]}},{"a":1.10}]`, `[{"a":1.10}]`}, {"[{\"a\":1},{\"b\":\"\xff\"}]", `[{"a":1}]`},
		{`[{"a":1},{"b":"\ud800"}]`, `[{"a":1}]`}, {`[{"a":1},{"b":[` + deep + `]}]`, `[{"a":1}]`}, {`[{"a":1},1,"x",null,[],true]`, `[{"a":1}]`},
		{`[{"b":1,"b":2}]`, ``}, {`[1]`, ``}, {`[null]`, ``}, {`[]`, ``}, {`{}`, ``}, {`{"a":1}`, ``}, {`null`, ``}, {`"x"`, ``}, {`1`, ``}, {`x`, ``},
		{`[{"a":1}`, ``}, {`[{"a":1}]]`, ``}, {`[{"a":1},{"b":1,"b":2}]{}`, ``}, {`[{"a":1},{"b":1,"b":2}`, ``}, {`[{"a":1},{"b"}]`, ``}, {`[{"a":1}{"b":1,"b":2}]`, ``},
		{`[` + long + `,` + long + `]`, ``},
	} {
		got := strictjson.StoredList(row.text)
		assert.Equal(t, row.want, got, "%.200s", row.text)
		if got != "" {
			assert.NoError(t, strictjson.ListFault(got), "%.200s", row.text)
		}
		if row.text != "" {
			isFault := row.text != row.want && row.text != "[]"
			assert.Equal(t, isFault, strictjson.ListFault(row.text) != nil, "%.200s", row.text)
		}
	}
	require.NoError(t, strictjson.ObjectFault(`{"a":1}`))
	for text, want := range map[string]string{
		`{"a":1,"a":2}`: `json: "/a" is given twice`, `[]`: "json: the text has the wrong JSON type or is out of range", `null`: "json: the text has the wrong JSON type or is out of range",
		`x`: "json: the text is not JSON in valid UTF-8", `{"a":{"b":1,"b":2}}`: `json: "/a/b" is given twice`,
	} {
		assert.EqualError(t, strictjson.ObjectFault(text), want, text)
	}
	assert.EqualError(t, strictjson.ListFault(`[{"a":1},{"b":1,"b":2}]`), `json: "/1/b" is given twice`)
}

func TestResembles(t *testing.T) {
	names := []string{"scope", "jwks"}
	for name, is := range map[string]bool{"ſcope": true, "Scope": true, "jw\u212As": true, "scope": false, "scopes": false, "": false} {
		assert.Equal(t, is, strictjson.Resembles(name, names), name)
	}
}

// An error goes to logs and, in part, to clients: nothing of what the text says is in
// it, and it is short.
func TestAnErrorIsShort(t *testing.T) {
	err := strictjson.Unmarshal([]byte(`{"`+strings.Repeat("a", 5000)+`":{"secret-value":1,"secret-value":2}}`), new(any))
	require.Error(t, err)
	assert.Less(t, len(err.Error()), 200)
	err = strictjson.Unmarshal([]byte(`{"kinds":["a","secret-value",1]}`), new(document))
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "secret")
}

// FuzzUnmarshal: what this package reads, encoding/json reads as well, and nothing
// else comes of it than of a text with the names of members alone.
func FuzzUnmarshal(f *testing.F) {
	for _, text := range []string{
		`{"scope":"a","kinds":["b"],"raw":{"c":[1]},"any":{"d":1.5e3}}`, `{"ſcope":"a"}`, `{"scope":"a","scope":"b"}`, `{"any":1e400}`,
		`{"raw":{"y":[{"z":1,"z":2}]}}`, "{\"\xff\":1}", `{"scope":"\ud800"}`, `{"inner":{"inner":{}}}`, nested(40), `{"own":{"name":"a"}}`, `{} {}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var read any
		if strictjson.Unmarshal(text, &read) != nil {
			assert.Nil(t, read)
			members, _, err := strictjson.Stored(text)
			if err == nil {
				for name, value := range members {
					assert.NoError(t, strictjson.Check(value), name)
				}
			}
			return
		}
		var loose any
		require.NoError(t, json.Unmarshal(text, &loose))
		assert.Equal(t, loose, read)
		var one document
		if strictjson.Unmarshal(text, &one) == nil {
			_, isObject := read.(map[string]any)
			assert.True(t, isObject || read == nil)
			members, _ := strictjson.Object(text)
			if _, given := members["scope"]; !given {
				assert.Empty(t, one.Scope)
			}
		}
		canonical, err := strictjson.Canonical(text)
		require.NoError(t, err)
		again, err := strictjson.Canonical(canonical)
		require.NoError(t, err)
		assert.Equal(t, string(canonical), string(again))
	})
}

// Depth is not width.
func TestManySiblings(t *testing.T) {
	for _, sibling := range []string{`{}`, `[]`, `{"a":[]}`, `"}"`, `"\\"`, `"\""`} {
		text := "[" + strings.Repeat(sibling+",", 2*strictjson.MaxDepth) + sibling + "]"
		assert.NoError(t, strictjson.Check([]byte(text)), sibling)
	}
	assert.Error(t, strictjson.Check([]byte(strings.Repeat(`{"a":[`, strictjson.MaxDepth)+strings.Repeat(`]}`, strictjson.MaxDepth))))
}
