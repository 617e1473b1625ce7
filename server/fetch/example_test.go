package fetch_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/gormoauth/gormoauth/server/fetch"
)

// What a client names may be anywhere: only the public network is fetched from, over https.
func ExampleFetcher_Get() {
	fetcher := fetch.New(fetch.Options{})
	for _, address := range []string{"http://client.example.com/keys", "https://169.254.169.254/keys"} {
		_, err := fetcher.Get(context.Background(), address)
		fmt.Println(errors.Is(err, fetch.ErrRefused))
	}
	// Output:
	// true
	// true
}
