package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
)

// inProcess answers requests where they are made.
type inProcess struct{ http.Handler }

// RoundTrip returns what the handler answers to a request whose context can end, as that of
// every request of a server's can: drivers watch it.
func (h inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r.WithContext(ctx))
	return w.Result(), nil
}

func inProcessCaller(c contestant) *caller {
	return &caller{"contestant.example", &http.Client{Transport: inProcess{routes(c)}}}
}

// BenchmarkOperations has the library and the floor do each operation on SQLite,
// in this process: allocations, and the time of the processor, which load beside
// it changes less than the clock's.
func BenchmarkOperations(b *testing.B) {
	w, err := newWorkplace("")
	require.NoError(b, err)
	b.Cleanup(w.close)
	e := w.sqlite("NORMAL")
	for _, o := range operations {
		for name, construct := range map[string]func(*gorm.DB) (contestant, error){floor: newGORMFloor, own: newOwn} {
			b.Run(o.name+"/"+name, func(b *testing.B) {
				c, err := construct(openFresh(b, e, o.name+name))
				require.NoError(b, err)
				d, err := newDriver(inProcessCaller(c), o, 1)
				require.NoError(b, err)
				if o.supply != nil {
					d.stock, err = o.supply(d, b.N)
					require.NoError(b, err)
				}
				b.ReportAllocs()
				b.ResetTimer()
				before := processorTime(b)
				for n := range b.N {
					require.NoError(b, o.call(d, 0, n))
				}
				b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// processorTime is what this process has used.
func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	var usage syscall.Rusage
	require.NoError(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
