package gormstore

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
)

// There is no network file system to be had here: its numbers are those of its
// source.
func TestANetworkFileSystemIsKnownByItsNumber(t *testing.T) {
	for kind, want := range map[int64]bool{
		0x6969: true, 0xff534d42: true, -0xacb2be: true, // CIFS, with its sign extended
		0xef53: false, 0x58465342: false, 0x01021994: false, 0x794c7630: false, // ext4, XFS, tmpfs, overlay
	} {
		assert.Equal(t, want, isNetworkFilesystem(kind), "%#x", kind)
	}
	if _, err := os.Stat("/proc/self"); err == nil {
		assert.False(t, onNetwork("/proc/self"))
	}
	assert.False(t, onNetwork("/there is no such file"))
}
