package client

import (
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/vmscaler/vmscaler/bus"
)

// What waits at most for a receiver that takes only the newest of each subject.
const (
	newestBytes     = 32 << 20 // beyond it the largest goes
	newestStrangers = 64       // subjects that were not heard before
	newestRegulars  = 1 << 16  // subjects that are remembered: 256 hosts of 256 groups
)

// newest is what waits, the newest of each subject. Subjects are taken in turn, so that a flood of one, or of many that are
// made up, holds no other up.
type newest struct {
	mu      sync.Mutex
	wake    chan struct{}
	waiting map[string][]byte
	bytes   int
	// known are subjects of which a good message came; those that wait are in regulars, in their order, the others in
	// strangers.
	known               map[string]struct{}
	regulars, strangers []string
	stranger            bool // it is their turn
}

func newNewest() *newest {
	return &newest{wake: make(chan struct{}, 1), waiting: map[string][]byte{}, known: map[string]struct{}{}}
}

// put has a message wait, in the place of an older one of its subject. The error says why one is not used: this one, or the
// one of the subject that is returned.
func (n *newest) put(subject string, data []byte) (refused string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before, waits := n.waiting[subject]
	if !waits {
		switch _, known := n.known[subject]; {
		case known:
			n.regulars = append(n.regulars, subject)
		case len(n.strangers) < newestStrangers:
			n.strangers = append(n.strangers, subject)
		default:
			return subject, fmt.Errorf("%d that were not heard before wait already", newestStrangers)
		}
	}
	n.waiting[subject] = data
	n.bytes += len(data) - len(before)
	if n.bytes > newestBytes {
		largest := subject
		for s, d := range n.waiting {
			if len(d) > len(n.waiting[largest]) {
				largest = s
			}
		}
		n.bytes -= len(n.waiting[largest])
		n.waiting[largest] = nil // its turn is passed over
		refused, err = largest, fmt.Errorf("%d bytes wait already", newestBytes)
	}
	select {
	case n.wake <- struct{}{}:
	default:
	}
	return refused, err
}

// take gives the next in turn; false where nothing waits.
func (n *newest) take() (subject string, data []byte, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.regulars)+len(n.strangers) > 0 {
		from := &n.regulars
		if len(n.regulars) == 0 || n.stranger && len(n.strangers) > 0 {
			from = &n.strangers
		}
		n.stranger = from == &n.regulars
		subject = (*from)[0]
		*from = (*from)[1:]
		data = n.waiting[subject]
		delete(n.waiting, subject)
		n.bytes -= len(data)
		if data != nil {
			return subject, data, true
		}
	}
	return "", nil, false
}

// heard records that a subject had a good message.
func (n *newest) heard(subject string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.known) < newestRegulars {
		n.known[subject] = struct{}{}
	}
}

// SubscribeNewest is Subscribe for messages that say everything again, such as samples: of those of one subject that out has no
// room for, only the newest waits, and the subjects take turns.
func SubscribeNewest[T any, PT interface {
	*T
	bus.Message
}](c *Conn, subject string, out chan<- T,
) error {
	waiting := newNewest()
	most := bus.MaxBytes(PT(new(T)))
	sub, err := c.nc.Subscribe(subject, func(msg *nats.Msg) {
		if len(msg.Data) == 0 || len(msg.Data) > most {
			c.Drop(msg.Subject, fmt.Errorf("decode: it has %d bytes, want 1 to %d", len(msg.Data), most))
			return
		}
		if refused, err := waiting.put(msg.Subject, msg.Data); err != nil {
			c.Drop(refused, err)
		}
	})
	if err != nil {
		return fmt.Errorf("bus: subscribe to %s: %w", subject, err)
	}
	if err := sub.SetPendingLimits(4096, newestBytes); err != nil {
		return fmt.Errorf("bus: subscribe to %s: %w", subject, err)
	}
	go func() {
		for {
			select {
			case <-waiting.wake:
			case <-c.closed:
				return
			}
			for {
				subject, data, ok := waiting.take()
				if !ok {
					break
				}
				m, err := bus.DecodeOn[T, PT](subject, data)
				if err != nil {
					c.Drop(subject, err)
					continue
				}
				waiting.heard(subject)
				select {
				case out <- m:
				case <-c.closed:
					return
				}
			}
		}
	}()
	return c.announce()
}
