package gormstore

import (
	"slices"
	"syscall"
)

// Magic numbers of network file systems, from linux/magic.h and the file systems
// themselves.
var networkFilesystems = []uint32{
	0x6969,     // NFS
	0x517b,     // SMB
	0xff534d42, // CIFS
	0xfe534d42, // SMB2
	0x01021997, // 9P
	0x5346414f, // AFS
	0x73757245, // Coda
	0x00c36400, // Ceph
	0x0bd00bd0, // Lustre
}

// onNetwork reports whether a file is known to be on a network file system. It is false
// if that cannot be determined.
func onNetwork(file string) bool {
	var filesystem syscall.Statfs_t
	return syscall.Statfs(file, &filesystem) == nil && isNetworkFilesystem(int64(filesystem.Type)) //nolint:unconvert // not 64 bits on every architecture
}

func isNetworkFilesystem(kind int64) bool {
	return slices.Contains(networkFilesystems, uint32(kind&0xffffffff)) // some architectures sign-extend it
}
