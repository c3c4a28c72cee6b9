// Package hosttool runs programs of the host, such as qemu-img, and says which package has one that is missing.
package hosttool
