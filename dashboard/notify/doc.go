// Package notify tells people and programs of chosen events: by webhook, e-mail or a command. It only subscribes, and no stage
// waits for it: what cannot be delivered is tried again for a while, and then dropped and logged.
package notify
