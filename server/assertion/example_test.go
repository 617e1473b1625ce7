package assertion_test

import (
	"fmt"

	"github.com/gormoauth/gormoauth/server/assertion"
)

func ExampleParse() {
	_, err := assertion.Parse("not.a.jwt", nil)
	fmt.Println(err)
	// Output: the JWT is malformed
}
