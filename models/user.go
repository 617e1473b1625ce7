package models

// UserMixin gives the program's user model the columns by which all grants of a user end at
// once. A user model need not have it: then what a user has is revoked page by page, and
// what has not been reached is good until then.
//
//	type User struct {
//		ID uint
//		models.UserMixin
//	}
type UserMixin struct {
	// GrantGeneration counts how often all grants of the user were ended at once. What was
	// issued under an earlier one is refused from that moment on, while it is still being
	// revoked.
	GrantGeneration int64 `gorm:"column:grant_generation;not null;default:0" json:"-"`
	// EndedGrantGeneration is the generation before which everything has been revoked. It is
	// less than GrantGeneration while that goes on, or when it was interrupted.
	EndedGrantGeneration int64 `gorm:"column:ended_grant_generation;not null;default:0" json:"-"`
}

// AsUserMixin returns the mixin itself. A model has it exactly when it embeds UserMixin by
// value; storage reaches the columns through it.
func (u *UserMixin) AsUserMixin() *UserMixin { return u }

// GetGeneration returns how often all grants of the user were ended at once.
func (u *UserMixin) GetGeneration() int64 { return u.GrantGeneration }
