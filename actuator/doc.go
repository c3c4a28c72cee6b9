// Package actuator makes libvirt have the number of VMs that the decider wants: it clones, defines, starts,
// waits until ready, drains and removes.
//
// Plan is the pure part: desired against what libvirt has. Everything that a restart needs is in the domains'
// metadata, so the loop around it only looks, plans, and starts one worker per VM. Beside it agents are asked and checks are
// tried, which may take long, and orphans are swept, for which records of the volumes that were made are kept in files. Package
// vm has the life of one VM, package check tries whether one serves, package orphan has what is left of those whose domain is
// gone, package template what they are cloned from. The package does not choose how many VMs there are, and never touches a
// domain or volume that vmscaler does not own.
package actuator
