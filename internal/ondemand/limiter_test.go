package ondemand_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/internal/ondemand"
	"github.com/gormoauth/gormoauth/server/ratelimit"
)

func TestALimiterThatIsLeftOutCountsAcrossCalls(t *testing.T) {
	var limiter ondemand.Limiter
	allowed := 0
	for range 5 {
		if wait, err := limiter.Or(nil, 3, time.Hour).Allow(t.Context(), "one"); assert.NoError(t, err) && wait == 0 {
			allowed++
		}
	}
	assert.Equal(t, 3, allowed)
	assert.Equal(t, ratelimit.Unlimited{}, limiter.Or(ratelimit.Unlimited{}, 3, time.Hour), "a given limiter is used")
}
