package models

// ReplayMixin gives a model the columns of something that may be presented only once,
// such as a JWT: its id (RFC 7519 section 4.1.7) is remembered until it expires.
type ReplayMixin struct {
	// ReplayKey is the digest of what was presented and who presented it.
	ReplayKey string `gorm:"column:replay_key;type:varchar(64);not null;uniqueIndex" json:"-"`
	// ExpiresAt is when it expires, in Unix seconds. From then on it is refused anyway.
	ExpiresAt int64 `gorm:"column:expires_at;not null;index" json:"expires_at"`
}

// AsReplayMixin returns the mixin itself. A model has this method exactly when it embeds
// ReplayMixin by value; the storage accesses the columns through it.
func (r *ReplayMixin) AsReplayMixin() *ReplayMixin { return r }

// DescribeTable describes the table of replays.
func (*ReplayMixin) DescribeTable() Table {
	return Table{Key: "ReplayKey", Digests: []string{"ReplayKey"}, ExpiresAt: "ExpiresAt"}
}
