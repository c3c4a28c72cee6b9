package bus

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Version is the contract's version, the "v" of every message. Adding a field keeps it; a change of meaning
// raises it, and a receiver drops messages of a version that it does not know.
const Version = 1

// Message is what all message types have in common: a version and the checks that a receiver relies on.
type Message interface {
	check() error
	most() int // bytes that it may have
}

var errVersion = errors.New("unknown contract version")

func checkVersion(v int) error {
	if v != Version {
		return fmt.Errorf("%w %d, this program speaks %d", errVersion, v, Version)
	}
	return nil
}

// Decode reads one message and checks what every receiver relies on: its size, its version, that the fields that
// name it are there, and that all are within their bounds.
func Decode[T any, PT interface {
	*T
	Message
}](data []byte,
) (T, error) {
	var m T
	if p, is := any(&m).(parser); is && len(data) <= PT(&m).most() && p.parseJSON(data) {
		return m, fitting(PT(&m))
	}
	m = *new(T)
	if err := checkBytes(data, PT(&m).most()); err != nil {
		return m, fmt.Errorf("decode %T: %w", m, err)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("decode %T: %w", m, err)
	}
	return m, fitting(PT(&m))
}

// fitting checks a message that came.
func fitting[T any, PT interface {
	*T
	Message
}](m PT,
) error {
	if err := m.check(); err != nil {
		return fmt.Errorf("decode %T: %w", *m, err)
	}
	return nil
}

// DecodeOn is Decode for a message that came on a subject, which must be the one of what it says: what a role may send is
// known by the subject alone.
func DecodeOn[T any, PT interface {
	*T
	Message
}](subject string, data []byte,
) (T, error) {
	m, err := Decode[T, PT](data)
	if err != nil {
		return m, err
	}
	if o, is := any(PT(&m)).(Outgoing); is && o.Subject() != subject {
		return m, fmt.Errorf("decode %T: what it says belongs on %s", m, Clip(o.Subject(), MaxLogText))
	}
	return m, nil
}

// Outgoing is a message that knows its subject.
type Outgoing interface {
	Message
	Subject() string
}

// Encode is a message as it is sent, its texts cut where they are too long. It is [ErrUnfit] where its receivers would refuse it,
// or where it has more bytes than the server takes; serverMost is 0 where that is not known yet.
func Encode(m Outgoing, serverMost int) ([]byte, error) {
	if long, is := m.(cutter); is {
		long.cut()
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	data, err := marshal(m)
	if err != nil {
		return nil, err
	}
	most := m.most()
	if serverMost > 0 {
		most = min(most, serverMost)
	}
	if len(data) > most {
		return nil, fmt.Errorf("%w: it has %d bytes, %d are allowed", ErrUnfit, len(data), most)
	}
	return data, nil
}

// EncodeAnswer is an answer as it is sent, its texts cut where they are too long. It is [ErrUnfit] where who asks would refuse
// it.
func EncodeAnswer(m Message) ([]byte, error) {
	if long, is := m.(cutter); is {
		long.cut()
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	return json.Marshal(m) //nolint:wrapcheck // plain fields only: cannot happen
}

// MaxBytes is how many bytes a message of m's type may have.
func MaxBytes(m Message) int { return m.most() }
