package gormoauth_test

import (
	"fmt"
	"log"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"

	"github.com/gormoauth/gormoauth"
)

func ExampleSchemaSQL() {
	// Nothing is asked of a server: the connection string names none.
	statements, err := gormoauth.SchemaSQL(postgres.Open("host=nowhere.example"), &User{}, &Client{}, &Token{}, &AuthorizationCode{})
	if err != nil {
		log.Fatal(err)
	}
	for line := range strings.Lines(statements) {
		if strings.Contains(line, "client_generation") {
			line, _, _ = strings.Cut(line, " (")
			fmt.Println(line)
		}
	}
	// Output:
	// CREATE TABLE "tokens"
	// CREATE TABLE "authorization_codes"
}

// A dialect says how the tables are made, and a model that could not be used is refused.
func TestTheSchemaIsWrittenForADialect(t *testing.T) {
	text, err := gormoauth.SchemaSQL(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: ":memory:"}), &User{}, &Token{})
	require.NoError(t, err)
	assert.Contains(t, text, "CREATE UNIQUE INDEX `idx_tokens_access_token`")
	assert.NotContains(t, text, "fillfactor")
	_, err = gormoauth.SchemaSQL(postgres.Open("host=nowhere.example"), &struct{ AccessToken chan int }{})
	require.Error(t, err)
}
