package gormstore

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// expectingDuplicates returns the program's handle with a logger that does not log
// duplicate keys: they are the normal outcome when something is presented twice, which
// anyone can do at will, and the caller gets them as an error.
func expectingDuplicates(db *gorm.DB) *gorm.DB {
	return db.Session(&gorm.Session{Logger: duplicatesLogger{db.Logger}})
}

type duplicatesLogger struct{ logger.Interface }

// Trace logs a statement unless it failed because of a duplicate key.
func (l duplicatesLogger) Trace(ctx context.Context, begin time.Time, statement func() (string, int64), err error) {
	if !isDuplicate(err) {
		l.Interface.Trace(ctx, begin, statement, err)
	}
}

// ParamsFilter asks the program's logger whether values may be logged, because GORM asks
// only the outermost logger.
func (l duplicatesLogger) ParamsFilter(ctx context.Context, sql string, params ...any) (string, []any) {
	if filter, ok := l.Interface.(gorm.ParamsFilter); ok {
		return filter.ParamsFilter(ctx, sql, params...)
	}
	return sql, params
}
