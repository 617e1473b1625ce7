package models

// Table describes a model's table to the code that treats all tables alike: spending,
// pruning, erasure, the doctor and the conformance kit. Fields of the model are given by
// their Go names.
//
// Each mixin describes its own table in its method DescribeTable. A model without a
// mixin, such as the tickets that a grant of the program's own exchanges, is treated in
// the same way once it describes itself:
//
//	func (*Ticket) DescribeTable() models.Table {
//		return models.Table{Key: "Digest", Digests: []string{"Digest"}, SpentAt: "UsedAt", ExpiresAt: "ExpiresAt", OfUser: true}
//	}
type Table struct {
	// Key is the field that identifies a row: a digest or a random string, with a unique
	// index.
	Key string
	// Digests are the fields that hold SHA-256 digests, as 64 hexadecimal digits.
	Digests []string
	// JSONLists are the fields that hold arrays of JSON objects, and JSONObjects those that
	// hold one object; they are empty or NULL where there is none. The doctor reports values
	// of another form, and values that can be read in two ways.
	JSONLists, JSONObjects []string
	// SpentAt is the field that says when the row was spent, in Unix seconds, 0 until then.
	// It is empty if rows are not single use.
	SpentAt string
	// Unspent are the string fields that are no longer needed once the row is spent. They
	// are emptied then, because the row is kept for a while.
	Unspent []string
	// ExpiresAt is the field that says when the row expires, in Unix seconds; it is pruned
	// after that. It is empty if rows never expire, or expire when the program says so.
	ExpiresAt string
	// KeptAt is the field that says since when a row is kept as a mark although it has
	// expired, in Unix seconds; 0 means that it is not. A row kept as a mark stays even if
	// it is soft-deleted. KeptAt is empty if there are no marks.
	KeptAt string
	// ZeroIsForever says that a row with an ExpiresAt of 0 never expires.
	ZeroIsForever bool
	// GrantID is the field with the grant that a row belongs to: the row ends with the
	// grant. It is empty if rows belong to no grant.
	GrantID string
	// ClientID is the field with the [ClientKey] of the client that a row belongs to: the
	// row ends with the client. It is empty if rows belong to no client.
	ClientID string
	// OfUser says that a row belongs to the user in the model's field UserID, and is erased
	// with that user.
	OfUser bool
	// Blank are the fields, besides UserID, that are emptied when a user is erased and the
	// rows are kept. If it is nil, the rows are deleted.
	Blank []string
}
