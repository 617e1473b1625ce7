package locale

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/message/catalog"
)

// Translator translates error descriptions into the language of a request. The zero value is not
// usable; see [NewTranslator].
type Translator struct {
	catalog   *catalog.Builder
	languages []language.Tag
	matcher   language.Matcher
}

// NewTranslator returns a translator for English and the languages of this package, such as
// Simplified Chinese. What has no translation is described in English. add, which may be nil, adds
// a program's own translations:
//
//	locale.NewTranslator(func(b *catalog.Builder) error {
//		return b.SetString(language.French, "The request has no 'grant_type'.", "…")
//	})
//
// The keys are the English descriptions, see [Descriptions].
func NewTranslator(add func(*catalog.Builder) error) (*Translator, error) {
	builder := catalog.NewBuilder(catalog.Fallback(language.English))
	for tag, sentences := range Translations() {
		for english, translated := range sentences {
			if err := builder.SetString(language.English, english, english); err != nil {
				return nil, err
			}
			if err := builder.SetString(tag, english, translated); err != nil {
				return nil, err
			}
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

// Descriptions returns the error descriptions that this package translates, sorted: the keys to
// translate. In a release these are all error descriptions of this module.
func Descriptions() []string {
	var descriptions []string
	for _, sentences := range Translations() {
		descriptions = slices.AppendSeq(descriptions, maps.Keys(sentences))
	}
	slices.Sort(descriptions)
	return slices.Compact(descriptions)
}

// Describe returns an error's description, a key of its translations and a fmt format for args, in
// the language that the request asks for: by ui_locales (OpenID Connect Core section 3.1.2.1), otherwise by Accept-Language, otherwise in
// English.
func (t *Translator) Describe(r *http.Request, description string, args ...any) string {
	if description == "" {
		return ""
	}
	_, index, _ := t.matcher.Match(requestLanguages(r)...)
	return message.NewPrinter(t.languages[index], message.Catalog(t.catalog)).Sprintf(description, args...)
}

// Default returns the translator of [NewTranslator] without translations of the program's own. It is
// built once, because it depends on nothing.
func Default() *Translator { return builtIn() }

var builtIn = sync.OnceValue(func() *Translator {
	t, err := NewTranslator(nil)
	if err != nil {
		panic(err) // a built-in translation is malformed, which tests exclude
	}
	return t
})

// maxLanguages limits the work that a request can cause in the matcher.
const maxLanguages = 10

// queryParam returns one parameter of a query without parsing the rest, so that a request that
// was refused for its length also gets its language.
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
