// Package demo builds the image of the demonstration template: a small guest of the host distribution's packages with a guest
// agent and stress-ng, without root, mounts or loop devices.
package demo
