package models

// SigningKeyMixin gives a model the columns of a key pair with which the server signs
// (RFC 7517). Keys rotate by generations: each is created, published, used and retired in
// turn.
type SigningKeyMixin struct {
	// KeyID is the key's id: its thumbprint (RFC 7638).
	KeyID string `gorm:"column:key_id;type:varchar(64);not null;uniqueIndex" json:"kid"`
	// Algorithm is the algorithm that it signs with, such as "ES256".
	Algorithm string `gorm:"column:algorithm;type:varchar(16);not null;uniqueIndex:,composite:generation" json:"alg"`
	// Generation counts the keys of an algorithm. It is unique among them, so that only one
	// of many instances creates the next key.
	Generation int64 `gorm:"column:generation;not null;uniqueIndex:,composite:generation" json:"generation"`
	// PrivateKey is the key pair: a JSON Web Key, inside a compact JWE when keys are
	// encrypted at rest.
	PrivateKey string `gorm:"column:private_key;type:text;not null" json:"-"`
	// SignsFrom is when the key begins to sign, in Unix seconds. It is published before
	// that.
	SignsFrom int64 `gorm:"column:signs_from;not null" json:"signs_from"`
	// SignsUntil is when the key stops signing, in Unix seconds.
	SignsUntil int64 `gorm:"column:signs_until;not null" json:"signs_until"`
	// ExpiresAt is when the key is no longer published, in Unix seconds: everything it
	// signed has expired by then.
	ExpiresAt int64 `gorm:"column:expires_at;not null;index" json:"expires_at"`
}

// AsSigningKeyMixin returns the mixin itself. A model has this method exactly when it
// embeds SigningKeyMixin by value; the storage accesses the columns through it.
func (k *SigningKeyMixin) AsSigningKeyMixin() *SigningKeyMixin { return k }

// DescribeTable describes the table of signing keys.
func (*SigningKeyMixin) DescribeTable() Table {
	return Table{Key: "KeyID", ExpiresAt: "ExpiresAt"}
}
