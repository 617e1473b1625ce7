package doctor_test

import (
	"testing"

	"github.com/gormoauth/gormoauth/internal/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }
