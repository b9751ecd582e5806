package durable

import "golang.org/x/sys/unix"

// localKinds are file systems of a disk of the machine's own, by the numbers of statfs(2).
var localKinds = map[int64]string{
	0xEF53: "ext4", 0x58465342: "xfs", 0x9123683E: "btrfs", 0x01021994: "tmpfs", 0x858458F6: "ramfs", 0x794C7630: "overlay",
	0x2FC12FC1: "zfs", 0xF2F52010: "f2fs", 0x3153464A: "jfs", 0x52654973: "reiserfs", 0xCA451A4E: "bcachefs", 0x4D44: "fat",
	0x2011BAB0: "exfat", 0x73717368: "squashfs",
}

var sharedKinds = map[int64]string{
	0x6969: "NFS", 0x0BD00BD0: "Lustre", 0x47504653: "GPFS", 0x19830326: "BeeGFS", 0x00C36400: "CephFS", 0xFF534D42: "CIFS", 0xFE534D42: "SMB",
	0x65735546: "FUSE", 0x01021997: "9p", 0x5346414F: "AFS", 0x7461636F: "OCFS2", 0x01161970: "GFS2", 0xAAD7AAEA: "PanFS", 0x6E736676: "vboxsf",
}

// Kind says what file system a folder is on, and whether it is surely a disk of this machine's own, on which no other machine
// writes.
func Kind(dir string) (name string, local bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "unknown", false
	}
	kind := int64(st.Type) & 0xFFFFFFFF //nolint:unconvert // of other widths on other processors
	if name, ok := localKinds[kind]; ok {
		return name, true
	}
	if name, ok := sharedKinds[kind]; ok {
		return name, false
	}
	return "unknown", false
}
