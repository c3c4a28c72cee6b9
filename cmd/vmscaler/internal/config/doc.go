// Package config reads vmscaler.yaml: it turns the file into the settings of every stage, and says everything
// that is wrong with it at once, each problem with its line, what was found and what is allowed.
//
// It looks at nothing but the file: whether a network, a pool or a template exists is for those who are connected
// to libvirt to find out. [Config.Problem] lets them report it in the same form. Environment variables and flags
// are not its business either.
package config
