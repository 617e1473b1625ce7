package forwarded_test

import (
	"fmt"
	"net/http/httptest"
	"net/netip"

	"github.com/gormoauth/gormoauth/server/forwarded"
)

// The address that a trusted proxy saw counts, not one that the client wrote.
func ExampleAddress() {
	address := forwarded.Address("X-Forwarded-For", netip.MustParsePrefix("10.0.0.0/8"))
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "10.0.0.1:443"
	r.Header.Set("X-Forwarded-For", "203.0.113.9, 198.51.100.7")
	fmt.Println(address(r))
	// Output: 198.51.100.7
}
