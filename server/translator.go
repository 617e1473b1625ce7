package server

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/message/catalog"
)

// Translator says error descriptions in the languages of a request. The zero
// value is not usable; see [NewTranslator].
type Translator struct {
	catalog   *catalog.Builder
	languages []language.Tag
	matcher   language.Matcher
}

// NewTranslator returns a translator with English and Simplified Chinese.
// add, which may be nil, adds a program's own translations:
//
//	server.NewTranslator(func(b *catalog.Builder) error {
//		return b.SetString(language.French, "The request has no 'grant_type'.", "…")
//	})
//
// The keys are the English descriptions, see [Descriptions].
func NewTranslator(add func(*catalog.Builder) error) (*Translator, error) {
	builder := catalog.NewBuilder(catalog.Fallback(language.English))
	for english, chinese := range simplifiedChinese {
		if err := builder.SetString(language.English, english, english); err != nil {
			return nil, err
		}
		if err := builder.SetString(language.SimplifiedChinese, english, chinese); err != nil {
			return nil, err
		}
	}
	if add != nil {
		if err := add(builder); err != nil {
			return nil, err
		}
	}
	languages := builder.Languages()
	// The matcher falls back to its first language.
	english := slices.Index(languages, language.English)
	languages[0], languages[english] = languages[english], languages[0]
	return &Translator{builder, languages, language.NewMatcher(languages)}, nil
}

// Descriptions returns, sorted, every error description of this module: what
// there is to translate.
func Descriptions() []string {
	descriptions := make([]string, 0, len(simplifiedChinese))
	for english := range simplifiedChinese {
		descriptions = append(descriptions, english)
	}
	slices.Sort(descriptions)
	return descriptions
}

// Describe returns the error's description in the language that the request
// asks for: ui_locales first (OpenID Connect Core section 3.1.2.1), then
// Accept-Language, then English.
func (t *Translator) Describe(r *http.Request, err *Error) string {
	if err.Description == "" {
		return ""
	}
	_, index, _ := t.matcher.Match(requestLanguages(r)...)
	return message.NewPrinter(t.languages[index], message.Catalog(t.catalog)).Sprintf(err.Description, err.Args...)
}

// defaultTranslator is built once: it depends on nothing.
var defaultTranslator = sync.OnceValue(func() *Translator {
	t, err := NewTranslator(nil)
	if err != nil {
		panic(err) // a built-in translation is malformed, which a test would have shown
	}
	return t
})

// maxLanguages bounds what a request can make the matcher do.
const maxLanguages = 10

// queryParam returns one parameter of a query, of which it keeps nothing else: also one
// that was refused for its length is answered in a language.
func queryParam(query, name string) string {
	for pair := range strings.SplitSeq(query, "&") {
		if value, found := strings.CutPrefix(pair, name+"="); found {
			value, _ = url.QueryUnescape(value)
			return value
		}
	}
	return ""
}

func requestLanguages(r *http.Request) []language.Tag {
	var tags []language.Tag
	locales := queryParam(r.URL.RawQuery, "ui_locales")
	if locales == "" {
		locales = r.PostForm.Get("ui_locales")
	}
	for locale := range strings.FieldsSeq(locales) {
		if tag, err := language.Parse(locale); err == nil && len(tags) < maxLanguages {
			tags = append(tags, tag)
		}
	}
	if header := r.Header.Get("Accept-Language"); header != "" && len(header) <= 1024 {
		accepted, _, err := language.ParseAcceptLanguage(header)
		if err == nil {
			tags = append(tags, accepted[:min(len(accepted), maxLanguages)]...)
		}
	}
	return tags
}
