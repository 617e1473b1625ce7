package bounded

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

var start = time.Unix(1_800_000_000, 0)

func has[V any](m *Map[string, V], key string, now time.Time) bool {
	_, ok := m.Get(key, now)
	return ok
}

func TestWhatIsWrittenIsThere(t *testing.T) {
	m := New[string, int](10, time.Minute)
	assert.False(t, has(m, "a", start))
	m.Set("a", 1, start)
	m.Set("b", 2, start)
	m.Update("a", start, func(value int, ok bool) int {
		assert.True(t, ok)
		return value + 10
	})
	for key, want := range map[string]int{"a": 11, "b": 2} {
		value, ok := m.Get(key, start)
		assert.True(t, ok, key)
		assert.Equal(t, want, value, key)
	}
	assert.Equal(t, 2, m.Len())
}

func TestAnEntryEnds(t *testing.T) {
	m := New[string, int](10, time.Minute)
	m.Set("a", 1, start)
	assert.True(t, has(m, "a", start.Add(time.Minute-1)))
	assert.False(t, has(m, "a", start.Add(time.Minute)), "to be read does not prolong it")
	assert.Zero(t, m.Len(), "and it costs nothing any more")

	m.Set("a", 1, start)
	m.Set("a", 2, start.Add(59*time.Second))
	assert.True(t, has(m, "a", start.Add(118*time.Second)), "to be written does")
	m.Update("a", start.Add(2*time.Minute), func(value int, ok bool) int {
		assert.False(t, ok, "what has ended is not there for a change either")
		assert.Zero(t, value)
		return 3
	})
	assert.True(t, has(m, "a", start.Add(2*time.Minute)))
}

// What has ended goes without being asked for.
func TestWhatHasEndedMakesRoom(t *testing.T) {
	m := New[string, int](100, time.Minute)
	for i := range 50 {
		m.Set(strconv.Itoa(i), i, start)
	}
	m.Set("late", 0, start.Add(time.Hour))
	assert.Equal(t, 1, m.Len())
	assert.Len(t, m.entries, 1)
}

// Keys that somebody invents cost a bounded memory. One that is in use stays, and one that
// is not is displaced by as many as the map holds and by no fewer.
func TestInventedKeys(t *testing.T) {
	const size = 100
	m := New[string, int](size, time.Hour)
	m.Set("idle", 1, start)
	m.Set("in use", 1, start)
	for i := range 10 * size {
		_, kept := m.entries["idle"]
		assert.Equal(t, i <= size-2, kept, "%d were invented", i)
		m.Set("invented "+strconv.Itoa(i), i, start)
		assert.LessOrEqual(t, m.Len(), size)
		assert.Len(t, m.entries, m.Len())
		assert.True(t, has(m, "in use", start))
	}
}

func TestManyUseItAtOnce(t *testing.T) {
	const size = 8
	m := New[string, int](size, time.Minute)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 2000 {
				now := start.Add(time.Duration(i) * time.Second)
				key := strconv.Itoa(rand.IntN(2 * size))
				m.Update(key, now, func(value int, _ bool) int { return value + 1 })
				m.Get(key, now)
				assert.LessOrEqual(t, m.Len(), size)
			}
		})
	}
	all.Wait()
	assert.Len(t, m.entries, m.used.Len())

	count := New[string, int64](size, time.Hour)
	for range 8 {
		all.Go(func() {
			for range 1000 {
				count.Update("a", start, func(value int64, _ bool) int64 { return value + 1 })
			}
		})
	}
	all.Wait()
	value, _ := count.Get("a", start)
	assert.EqualValues(t, 8000, value, "no change is lost")
}
