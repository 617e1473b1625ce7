package gormstore

// Mixins are all that a model may embed.
var Mixins = mixins

// ClassOf names what an error of a database means.
func ClassOf(err error) string {
	return [...]string{otherError: "other", collision: "collision", lostConnection: "lost", refusal: "refusal"}[classOf(err)]
}

// IsDuplicate reports whether an error is of a key that another row has.
var IsDuplicate = isDuplicate
