package server

var simplifiedChinese = map[string]string{}
