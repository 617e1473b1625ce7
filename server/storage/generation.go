package storage

import "github.com/gormoauth/gormoauth/internal/construct"

// Generational is a client or a user all of whose grants can be ended at once. Whatever was
// issued under an earlier generation than the current one is no longer valid.
// [github.com/gormoauth/gormoauth/models.ClientMixin] and
// [github.com/gormoauth/gormoauth/models.UserMixin] implement it.
type Generational interface {
	// GetGeneration returns how often all grants were ended. It never decreases.
	GetGeneration() int64
}

// GenerationOf returns the generation of a client or a user, or 0 if it is not [Generational].
func GenerationOf(of any) int64 {
	if g, ok := of.(Generational); ok && !construct.IsNil(of) {
		return g.GetGeneration()
	}
	return 0
}
