package gormstore

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// expectingDuplicates is the program's handle, but its log says nothing of a key
// that another row has: that is the answer to whoever presents something twice,
// which anybody can do at will, and the caller gets it as an error.
func expectingDuplicates(db *gorm.DB) *gorm.DB {
	return db.Session(&gorm.Session{Logger: duplicatesLogger{db.Logger}})
}

type duplicatesLogger struct{ logger.Interface }

// Trace logs a statement, unless that is all that is wrong with it.
func (l duplicatesLogger) Trace(ctx context.Context, begin time.Time, statement func() (string, int64), err error) {
	if !isDuplicate(err) {
		l.Interface.Trace(ctx, begin, statement, err)
	}
}

// ParamsFilter asks the program's logger whether values may be logged: GORM asks the
// outermost one.
func (l duplicatesLogger) ParamsFilter(ctx context.Context, sql string, params ...any) (string, []any) {
	if filter, ok := l.Interface.(gorm.ParamsFilter); ok {
		return filter.ParamsFilter(ctx, sql, params...)
	}
	return sql, params
}
