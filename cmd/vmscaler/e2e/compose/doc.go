// Package compose tests the image and docker-compose.yml as their users run them: five containers, real libvirt, real
// QEMU. Its test has the build tag compose, as it needs a Docker engine; `make test-compose` provides one.
//
// Group, storage pool, lock, bus port, Compose project and image are the test's own, and it leaves none of them behind.
package compose
