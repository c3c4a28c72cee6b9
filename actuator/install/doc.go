// Package install makes a template of an installation medium: it boots the medium in a throw-away VM with an empty disk, types
// on the serial console what a script says, waits until the machine is off, and seals the disk.
//
// A script is a list of steps, each of which waits for what the console prints and types something then. What is printed and
// typed is a pure function (Player); the loop around it reads and writes.
package install
