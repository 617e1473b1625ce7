package cnf_test

import (
	"fmt"

	"github.com/gormoauth/gormoauth/server/cnf"
)

func ExampleNew() {
	bound := cnf.New(cnf.JWKThumbprint, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I")
	fmt.Println(bound)
	fmt.Println(cnf.Method(bound))
	// Output:
	// {"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}
	// jkt
}
