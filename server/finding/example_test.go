package finding_test

import (
	"fmt"

	"github.com/gormoauth/gormoauth/server/finding"
)

func ExampleList_Without() {
	found := finding.List{
		{Check: "unique_index", Severity: finding.Grave, Where: "Token.AccessToken", Problem: "has no unique index"},
		{Check: "secrets", Severity: finding.Hint, Where: "Config.Secrets", Problem: "is empty"},
	}
	fmt.Print(found.Without("secrets"))
	// Output: grave: Token.AccessToken has no unique index
}
