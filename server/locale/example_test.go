package locale_test

import (
	"fmt"

	"golang.org/x/text/language"

	"github.com/gormoauth/gormoauth/server/locale"
)

func ExampleTranslations() {
	chinese := locale.Translations()[language.SimplifiedChinese]
	fmt.Println(chinese["The request has no 'grant_type'."])
	// Output: 请求缺少 “grant_type”。
}
