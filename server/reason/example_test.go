package reason_test

import (
	"fmt"
	"log/slog"

	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/reason"
)

func ExampleNew() {
	why := reason.New("the ticket belongs to another client", slog.String("ticket_of", "support"))
	fmt.Println(server.NewError(server.InvalidGrant, "There is no such ticket.").BecauseOf(why).Reason())
	// Output: the ticket belongs to another client [ticket_of=support]
}
