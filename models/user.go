package models

// UserMixin gives the program's user model the columns with which all grants of a user can
// be ended at once. It is optional: without it, a user's grants are revoked page by page,
// and each stays valid until its page is reached.
//
//	type User struct {
//		ID uint
//		models.UserMixin
//	}
type UserMixin struct {
	// GrantGeneration counts how often all grants of the user were ended at once. Anything
	// issued under an earlier generation is refused from that moment on, even while its rows
	// are still being revoked.
	GrantGeneration int64 `gorm:"column:grant_generation;not null;default:0" json:"-"`
	// EndedGrantGeneration is the generation before which everything has been revoked. It is
	// less than GrantGeneration while rows are still being revoked, or when that was
	// interrupted.
	EndedGrantGeneration int64 `gorm:"column:ended_grant_generation;not null;default:0" json:"-"`
}

// AsUserMixin returns the mixin itself. A model has this method exactly when it embeds
// UserMixin by value; the storage accesses the columns through it.
func (u *UserMixin) AsUserMixin() *UserMixin { return u }

// GetGeneration returns how often all grants of the user were ended at once.
func (u *UserMixin) GetGeneration() int64 { return u.GrantGeneration }
