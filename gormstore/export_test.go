package gormstore

// Mixins are all that a model may embed.
var Mixins = mixins
