package models

// SigningKeyMixin gives a model the columns of a key pair with which the server
// signs (RFC 7517). Keys are made, announced, used and retired by generations.
type SigningKeyMixin struct {
	// KeyID names the key: its thumbprint (RFC 7638).
	KeyID string `gorm:"column:key_id;type:varchar(64);not null;uniqueIndex" json:"kid"`
	// Algorithm is what it signs by, such as "ES256".
	Algorithm string `gorm:"column:algorithm;type:varchar(16);not null;uniqueIndex:,composite:generation" json:"alg"`
	// Generation counts the keys of an algorithm. No two have the same, so that
	// of many instances one makes the next.
	Generation int64 `gorm:"column:generation;not null;uniqueIndex:,composite:generation" json:"generation"`
	// PrivateKey is the key pair: a JSON Web Key, or that in a compact JWE when
	// keys are encrypted at rest.
	PrivateKey string `gorm:"column:private_key;type:text;not null" json:"-"`
	// SignsFrom is when it begins to sign, in Unix seconds. It is published
	// before.
	SignsFrom int64 `gorm:"column:signs_from;not null" json:"signs_from"`
	// SignsUntil is when it signs no more.
	SignsUntil int64 `gorm:"column:signs_until;not null" json:"signs_until"`
	// ExpiresAt is when it is published no more: by then what it signed has
	// ended.
	ExpiresAt int64 `gorm:"column:expires_at;not null;index" json:"expires_at"`
}

// AsSigningKeyMixin returns the mixin itself. A model has it exactly when it
// embeds SigningKeyMixin by value; storage reaches the columns through it.
func (k *SigningKeyMixin) AsSigningKeyMixin() *SigningKeyMixin { return k }

// DescribeTable describes the table of signing keys.
func (*SigningKeyMixin) DescribeTable() Table {
	return Table{Key: "KeyID", ExpiresAt: "ExpiresAt"}
}
