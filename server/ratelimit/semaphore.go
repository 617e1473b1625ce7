package ratelimit

import (
	"container/list"
	"context"
	"sync"
)

// semaphore hands out slots, first come, first served.
type semaphore struct {
	mu      sync.Mutex
	free    int
	waiting list.List // of chan struct{}, each closed when its slot is given
}

func newSemaphore(slots int) *semaphore { return &semaphore{free: slots} }

// acquire waits for a slot. It returns the context's error if that ends first.
func (s *semaphore) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.free > 0 { // then there are no waiters
		s.free--
		s.mu.Unlock()
		return nil
	}
	given := make(chan struct{})
	place := s.waiting.PushBack(given)
	s.mu.Unlock()
	select {
	case <-given:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-given: // too late: pass the slot on
		s.next()
	default:
		s.waiting.Remove(place)
	}
	return ctx.Err()
}

// release returns a slot.
func (s *semaphore) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next()
}

// next gives a slot to the waiter that has waited longest.
func (s *semaphore) next() {
	first := s.waiting.Front()
	if first == nil {
		s.free++
		return
	}
	close(s.waiting.Remove(first).(chan struct{}))
}
