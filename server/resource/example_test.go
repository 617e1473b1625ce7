package resource_test

import (
	"fmt"

	"github.com/gormoauth/gormoauth/server/resource"
)

func ExampleHasScope() {
	fmt.Println(resource.HasScope("profile email", []string{"profile"}))
	fmt.Println(resource.HasScope("profile", []string{"profile email"}))            // both words
	fmt.Println(resource.HasScope("profile", []string{"profile email", "profile"})) // or the one
	// Output:
	// true
	// false
	// true
}
