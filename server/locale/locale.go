// Package locale has the translations of the library's error descriptions, in one file for each
// language. It is data: NewTranslator reads it, and a program can do so too.
package locale

import (
	"maps"

	"golang.org/x/text/language"
)

// Translations returns the translations by language, and those of a language by their English
// description, the text that server.NewError gets. A description without a
// translation is shown in English. The maps are the caller's.
func Translations() map[language.Tag]map[string]string {
	return map[language.Tag]map[string]string{
		language.SimplifiedChinese: maps.Clone(simplifiedChinese),
	}
}
