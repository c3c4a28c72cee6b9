// Package contexts keeps, for one user, the vmscalers that commands are for by a name: where their buses are, and the files to
// log in with. It reads and writes their file, and contacts nobody.
package contexts
