package models

// ReplayMixin gives a model the columns of something that may be presented once:
// the id of a JWT (RFC 7519 section 4.1.7) until that JWT ends.
type ReplayMixin struct {
	// ReplayKey is the digest of what was presented and of who presented it.
	ReplayKey string `gorm:"column:replay_key;type:varchar(64);not null;uniqueIndex" json:"-"`
	// ExpiresAt is when it could not be presented again anyway, in Unix seconds.
	ExpiresAt int64 `gorm:"column:expires_at;not null;index" json:"expires_at"`
}

// AsReplayMixin returns the mixin itself. A model has it exactly when it embeds
// ReplayMixin by value; storage reaches the columns through it.
func (r *ReplayMixin) AsReplayMixin() *ReplayMixin { return r }

// DescribeTable describes the table of replays.
func (*ReplayMixin) DescribeTable() Table {
	return Table{Key: "ReplayKey", Digests: []string{"ReplayKey"}, ExpiresAt: "ExpiresAt"}
}
