// Command go prints a line for each lifecycle event.
package main

import (
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/nats-io/nats.go"

	"github.com/vmscaler/vmscaler/bus"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt)
	url := "nats://" + bus.DefaultListen
	if len(os.Args) > 1 {
		url = os.Args[1]
	}
	// Wait for a server that is not there yet, and come back after each of its restarts.
	nc, err := nats.Connect(url, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	_, err = nc.Subscribe(bus.AllEvents, func(msg *nats.Msg) {
		e, err := bus.Decode[bus.Event](msg.Data)
		if err != nil { // such as a version that this program does not know
			log.Printf("%s: %v", msg.Subject, err)
			return
		}
		fmt.Printf("%s %s %s %s %s\n", e.Group, e.VM, e.Event, e.Sentence, e.Error)
	})
	if err != nil {
		log.Print(err)
		return
	}
	<-stop
}
