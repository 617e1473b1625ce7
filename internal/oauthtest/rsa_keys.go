package oauthtest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"sync"
	"sync/atomic"

	"github.com/gormoauth/gormoauth/internal/rsakey"
)

var fewKeys [4]struct {
	sync.Mutex
	bits map[int]*rsa.PrivateKey
}

// FewRSAKeys returns a context in which stores of signing keys take turns with a few RSA keys, as each
// that is made takes about half a second. No two of four keys in a row are the same.
func FewRSAKeys(ctx context.Context) context.Context {
	var made atomic.Uint32
	return rsakey.From(ctx, func(bits int) (key *rsa.PrivateKey, err error) {
		of := &fewKeys[(made.Add(1)-1)%uint32(len(fewKeys))]
		of.Lock()
		defer of.Unlock()
		if of.bits[bits] == nil {
			if key, err = rsa.GenerateKey(rand.Reader, bits); err != nil {
				return nil, err
			}
			if of.bits == nil {
				of.bits = make(map[int]*rsa.PrivateKey)
			}
			of.bits[bits] = key
		}
		return of.bits[bits], nil
	})
}
