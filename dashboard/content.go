package dashboard

import (
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// firstMessage is how long to wait for a message before the wait is explained.
const firstMessage = 3 * time.Second

// Link is the state of the connection to the bus.
type Link struct {
	URL       string
	Connected bool
	Why       string // what keeps it from connecting; "": not known
}

// Content is what there is to show: what the messages said, and what this process knows of itself.
type Content struct {
	*model.Model
	Title   string
	Footer  string
	Link    Link
	Dropped uint64 // messages lost because drawing was too slow
	// ReadOnly is why nothing can be changed from here; "" where it can.
	ReadOnly string
	// Explain puts a decision into words, a line each. Nil: only its sentence is known.
	Explain func(bus.Decision) []string

	session session
}

// NewContent is a dashboard's content that no message has come to yet; now is when the dashboard started.
func NewContent(now time.Time) *Content {
	return &Content{Model: model.New(now, model.Sizes{
		Window:    time.Minute, // as the table's header says
		Histories: 2_000,
		Entries:   200,
	})}
}
