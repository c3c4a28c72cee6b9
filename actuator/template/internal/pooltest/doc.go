// Package pooltest makes storage pools on the real libvirt for tests of templates.
package pooltest
