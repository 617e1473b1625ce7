package display_test

import (
	"fmt"

	"github.com/gormoauth/gormoauth/server/display"
)

func ExampleHost() {
	fmt.Println(display.Host("https://app.example:8443/callback"))
	fmt.Println(display.Host("cursor://anysphere.cursor/callback"))
	// Output:
	// app.example:8443
	// cursor:
}
