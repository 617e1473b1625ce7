package cache_test

import (
	"context"
	"fmt"

	"github.com/gormoauth/gormoauth/server/cache"
)

// A client's secret is checked against the current row.
func ExampleBypass() {
	ctx := cache.Bypass(context.Background())
	fmt.Println(cache.IsBypassed(ctx))
	// Output: true
}
