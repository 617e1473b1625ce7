package jwt

import (
	"fmt"
	"strconv"
	"time"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// NumericDate is a date in a JWT, in seconds since 1970 (RFC 7519 section 2). When decoded it may
// have a fraction, which is dropped, or an exponent: 1800000000.5 and 1.8e9 are valid. It must be
// between 1970 and the end of the year 9999. null is decoded as 0, as if the date were missing.
type NumericDate int64

// endOfDates is the first second of the year 10000.
const endOfDates = 253402300800

// UnmarshalJSON decodes a number, or null.
func (d *NumericDate) UnmarshalJSON(text []byte) error {
	var number float64 // exact to less than a millisecond in this range
	if err := strictjson.Unmarshal(text, &number); err != nil {
		return err
	}
	if number < 0 || number >= endOfDates {
		return fmt.Errorf("server: %.40s is not a date between 1970 and 9999", text)
	}
	*d = NumericDate(number)
	return nil
}

// MarshalJSON encodes the date as a number without a fraction.
func (d NumericDate) MarshalJSON() ([]byte, error) { return strconv.AppendInt(nil, int64(d), 10), nil }

// Time returns the date as a time.Time.
func (d NumericDate) Time() time.Time { return time.Unix(int64(d), 0) }
