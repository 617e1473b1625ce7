package dpop_test

import (
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"github.com/gormoauth/gormoauth/server/dpop"
)

// An API that checks proofs accepts the algorithms that it announces.
func ExampleProofs_AlgorithmNames() {
	proofs := &dpop.Proofs{Algorithms: []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA}}
	fmt.Println(proofs.AlgorithmNames())
	// Output: [ES256 EdDSA]
}
