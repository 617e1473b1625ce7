package jwk_test

import (
	"fmt"

	"github.com/gormoauth/gormoauth/server/jwk"
)

// A key that is not understood does not make the others useless.
func ExampleParseSet() {
	set, err := jwk.ParseSet([]byte(`{"keys":[{"kty":"future"},{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	fmt.Println(len(set.Keys), set.Keys[0].KeyID, err)
	// Output: 1 a <nil>
}
