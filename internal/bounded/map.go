// Package bounded remembers what strangers bring, in a memory of fixed size.
package bounded

import (
	"container/list"
	"sync"
	"time"
)

// Map is a map that many goroutines may use. It has a bounded number of entries, each for a
// bounded time. When it is full, the entry that was used least recently makes room: somebody
// who invents keys displaces one only by as many others as the map holds.
type Map[K comparable, V any] struct {
	size int
	life time.Duration

	mu      sync.Mutex
	entries map[K]*list.Element // of *entry[K, V]
	used    *list.List          // the most recently used first
}

type entry[K comparable, V any] struct {
	key   K
	value V
	until time.Time
}

// New returns an empty map of at most size entries, each of which lives for that long after
// it was written.
func New[K comparable, V any](size int, life time.Duration) *Map[K, V] {
	return &Map[K, V]{size: size, life: life, entries: make(map[K]*list.Element), used: list.New()}
}

// Get returns the value of a key, and whether there is one now.
func (m *Map[K, V]) Get(key K, now time.Time) (value V, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.use(key, now); e != nil {
		return e.value, true
	}
	return value, false
}

// Update writes what change makes of the value of a key; ok is false where there is none
// now. No other goroutine uses the map meanwhile, so change must be quick, and must not use
// it either.
func (m *Map[K, V]) Update(key K, now time.Time, change func(value V, ok bool) V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.use(key, now); e != nil {
		e.value, e.until = change(e.value, true), now.Add(m.life)
		return
	}
	var none V
	value := change(none, false)
	// What nobody has used for a life has ended, and is at the back.
	for oldest := m.used.Back(); oldest != nil; oldest = m.used.Back() {
		if m.used.Len() < m.size && now.Before(oldest.Value.(*entry[K, V]).until) {
			break
		}
		m.remove(oldest)
	}
	m.entries[key] = m.used.PushFront(&entry[K, V]{key, value, now.Add(m.life)})
}

// Set writes a value.
func (m *Map[K, V]) Set(key K, value V, now time.Time) {
	m.Update(key, now, func(V, bool) V { return value })
}

// Len returns how many entries there are, those included that have ended and make room for
// the next.
func (m *Map[K, V]) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used.Len()
}

// use returns the entry of a key as the one that was used most recently; nil where there is
// none now.
func (m *Map[K, V]) use(key K, now time.Time) *entry[K, V] {
	element, ok := m.entries[key]
	if !ok {
		return nil
	}
	e := element.Value.(*entry[K, V])
	if !now.Before(e.until) {
		m.remove(element)
		return nil
	}
	m.used.MoveToFront(element)
	return e
}

func (m *Map[K, V]) remove(element *list.Element) {
	delete(m.entries, m.used.Remove(element).(*entry[K, V]).key)
}
