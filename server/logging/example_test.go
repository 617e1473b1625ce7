package logging_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/gormoauth/gormoauth/server/logging"
)

// The program's own lines have the request's id as well.
func ExampleHandler() {
	logger := slog.New(logging.Handler(slog.DiscardHandler))
	logger.InfoContext(context.Background(), "a line of the program's own")
	fmt.Printf("%q\n", logging.RequestID(context.Background()))
	// Output: ""
}
