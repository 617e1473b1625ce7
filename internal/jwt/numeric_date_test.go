package jwt_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gormoauth/gormoauth/internal/jwt"
	"github.com/gormoauth/gormoauth/internal/strictjson"
)

func TestANumericDateMayHaveAFraction(t *testing.T) {
	for text, want := range map[string]int64{
		"1800000000": 1_800_000_000, "1800000000.5": 1_800_000_000, "1800000000.999999": 1_800_000_000, "1.8e9": 1_800_000_000, "1.8E+9": 1_800_000_000,
		"18000000000e-1": 1_800_000_000, "0": 0, "0.5": 0, "-0": 0, "1e-400": 0, "null": 0, "253402300799": 253_402_300_799, "253402300799.9": 253_402_300_799,
		"1800000000." + strings.Repeat("0", 5000): 1_800_000_000,
	} {
		var date jwt.NumericDate
		require.NoError(t, strictjson.Unmarshal([]byte(text), &date), text)
		assert.EqualValues(t, want, date, text)
		assert.Equal(t, want, date.Time().Unix(), text)
	}
	for _, text := range []string{
		"-1", "-0.5", "-1e9", "253402300800", "1e12", "9223372036854775807", "9223372036854775808", "18446744073709551617", "1e400", "-1e400", "1e999999999",
		"NaN", "Infinity", "-Infinity", `"1800000000"`, "true", "[]", "{}", "0x6b49d200", "01", "1.", "1_800_000_000", "１８", "", "1 2", strings.Repeat("9", 5000),
	} {
		date := jwt.NumericDate(7)
		assert.Error(t, strictjson.Unmarshal([]byte(text), &date), text)
		assert.Zero(t, date, text)
	}
	text, err := json.Marshal(jwt.NumericDate(1_800_000_000))
	require.NoError(t, err)
	assert.Equal(t, "1800000000", string(text))
}
