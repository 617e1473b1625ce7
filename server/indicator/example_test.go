package indicator_test

import (
	"fmt"

	"github.com/gormoauth/gormoauth/server/indicator"
)

func ExampleSame() {
	fmt.Println(indicator.Same("https://api.example", "HTTPS://api.example/"))
	fmt.Println(indicator.Same("https://api.example", "https://api.example/v2"))
	// Output:
	// true
	// false
}
