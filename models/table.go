package models

// Table says what there is to know of a model's table for everything that treats all
// tables alike: spending, pruning, erasure, the doctor and the conformance kit. The
// fields are named by their Go names.
//
// Each mixin describes its own table by a method DescribeTable. A model of the program's
// own, such as the tickets that a grant of its own exchanges, has the same power once it
// describes itself:
//
//	func (*Ticket) DescribeTable() models.Table {
//		return models.Table{Key: "Digest", Digests: []string{"Digest"}, SpentAt: "UsedAt", ExpiresAt: "ExpiresAt", OfUser: true}
//	}
type Table struct {
	// Key is the field that names a row: a digest or a random text, with a unique index.
	Key string
	// Digests are the fields that hold SHA-256 digests, written as 64 hexadecimal digits.
	Digests []string
	// JSONLists are the fields that hold lists of JSON objects, and JSONObjects those that
	// hold one object, empty or NULL where there is none: the doctor finds what is not
	// so, or has two readings.
	JSONLists, JSONObjects []string
	// SpentAt is the field that says when the row was spent, in Unix seconds, and is 0
	// until then. It is empty where rows are not single use.
	SpentAt string
	// Unspent are the fields of text that nobody needs any more once the row is spent: they
	// are emptied then, as the row stays for a while.
	Unspent []string
	// ExpiresAt is the field that says when the row ends, in Unix seconds, after which it
	// is pruned. It is empty where rows never end, or end when the program says.
	ExpiresAt string
	// KeptAt is the field that says since when a row stays as a mark, although it has
	// ended; 0 is none. Rows that are soft-deleted stay then, too. It is empty where there
	// are no marks.
	KeptAt string
	// ZeroIsForever says that an ExpiresAt of 0 is no end.
	ZeroIsForever bool
	// GrantID is the field that names the grant that a row belongs to: the row ends with
	// it. It is empty where rows belong to none.
	GrantID string
	// ClientID is the field that names the client that a row belongs to, by its
	// [ClientKey]: the row ends with it. It is empty where rows belong to none.
	ClientID string
	// OfUser says that a row belongs to the user in the model's field UserID, and is
	// erased with them.
	OfUser bool
	// Blank are the fields that are emptied when a user is erased, beside UserID, in rows
	// that stay; nil has the rows removed.
	Blank []string
}
