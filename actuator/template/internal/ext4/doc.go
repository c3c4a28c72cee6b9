// Package ext4 reads small files and folders of an ext2, ext3 or ext4 file system, by its layout on the disk: nothing is mounted,
// and no rights are needed. The file system may be damaged or hostile; what is read of it is bounded, and all sizes in it are
// looked at.
//
// It does not follow symbolic links or replay the journal, and knows no encrypted or inline content.
package ext4
