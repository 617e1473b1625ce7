package gormstore

// Mixins are all that a model may embed.
var Mixins = mixins

// ClassOf names what an error of a database means.
func ClassOf(err error) string {
	return [...]string{otherError: "other", collision: "collision", lostConnection: "lost", refusal: "refusal"}[classOf(err)]
}

// ExaminedRows is how many rows of a table a diagnosis examines.
const ExaminedRows = examinedRows

// IsDuplicate reports whether an error is of a key that another row has.
var IsDuplicate = isDuplicate

// LookBriefly has an ending look up so many rows at once, look so often by an index, and walk
// through a table in windows of so many rows, until restored.
func LookBriefly(rows, looks, window int) (restore func()) {
	a, b, c := lookedUpAtOnce, looksByIndex, windowRows
	lookedUpAtOnce, looksByIndex, windowRows = rows, looks, window
	return func() { lookedUpAtOnce, looksByIndex, windowRows = a, b, c }
}
