// Package dashboard shows what vmscaler does, live, in the terminal, or line by line where there is none.
//
// It subscribes to the bus, folds the messages into a model with pure functions, and draws the model with
// another one. It never publishes, and it imports no other package of vmscaler than bus: what it shows is what
// any subscriber could see.
package dashboard
