package budget_test

import (
	"context"
	"fmt"
	"time"

	"github.com/gormoauth/gormoauth/server/budget"
)

// A job of the program may take longer than a request.
func ExampleWith() {
	ctx := budget.With(context.Background(), 30*time.Second)
	fmt.Println(budget.Of(ctx), "instead of", budget.Default)
	// Output: 30s instead of 2s
}
