package ratelimit_test

import (
	"context"
	"fmt"
	"time"

	"github.com/gormoauth/gormoauth/server/ratelimit"
)

func ExampleNew() {
	limiter := ratelimit.New(2, time.Minute)
	for range 3 {
		wait, err := limiter.Allow(context.Background(), "alice")
		fmt.Println(wait > 0, err)
	}
	wait, err := limiter.Allow(context.Background(), "bob") // each key has its own attempts
	fmt.Println(wait > 0, err)
	// Output:
	// false <nil>
	// false <nil>
	// true <nil>
	// false <nil>
}
