// Package await says whether a group is as somebody waits for it to be, and what is still missing. It reads no clock and talks
// to nobody: what is known of the group is the dashboard's model.
package await
