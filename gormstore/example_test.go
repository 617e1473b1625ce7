package gormstore_test

import (
	"fmt"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore"
)

func ExampleNewTokens() {
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: ":memory:"}), &gorm.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = gormstore.NewTokens[userlessToken](db)
	fmt.Println(err)
	// Output: gormstore: model gormstore_test.userlessToken has no field UserID; write UserID *uint, or whatever type the ids of your users have
}
