package clientcache_test

import (
	"fmt"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth/gormstore/clientcache"
	"github.com/gormoauth/gormoauth/server"
)

func ExampleNew() {
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: ":memory:"}), &gorm.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	query, err := clientcache.New[Client](db, clientcache.Options{TTL: 2 * time.Second})
	if err != nil {
		fmt.Println(err)
		return
	}
	config := server.Config{Issuer: "https://id.example.com", QueryClient: query}
	fmt.Println(config.QueryClient != nil)
	// Output: true
}
