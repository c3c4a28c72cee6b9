// Package model folds the messages of the bus into what is known of groups, hosts, VMs and stages, for whoever shows it: the
// dashboard, and others that read the same.
//
// It subscribes to nothing, reads no clock and prints nothing. What it gives out is to be read, not changed.
package model
