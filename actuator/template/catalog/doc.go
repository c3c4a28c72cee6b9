// Package catalog names disk images that their makers publish, so that a person need not know where: a small list that is built
// in, and lists of the user's own. It knows addresses, and fetches nothing.
package catalog
