// Package catalog lists disk images that distributions publish, so that a user need not look up their URLs: a small built-in
// list, and the user's own files. It downloads nothing.
package catalog
