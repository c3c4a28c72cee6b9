package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"libvirt.org/go/libvirt"
)

// longestAnswer is how much an agent may answer, in bytes. libvirt itself takes 10 MiB.
const longestAnswer = 1 << 20

// agentCommand runs one command of the guest agent and decodes its "return" into result, which may be nil. It
// blocks for up to timeout, rounded up to seconds.
func agentCommand(dom *libvirt.Domain, timeout time.Duration, execute string, arguments, result any) error {
	request := map[string]any{"execute": execute}
	if arguments != nil {
		request["arguments"] = arguments
	}
	text, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("guest agent: %s: %w", execute, err)
	}
	wait := libvirt.DomainQemuAgentCommandTimeout((timeout + time.Second - 1) / time.Second)
	answer, err := dom.QemuAgentCommand(string(text), wait, 0)
	if err != nil {
		return fmt.Errorf("guest agent: %s: %w", execute, agentError{err})
	}
	return decodeAnswer(execute, answer, result)
}

// decodeAnswer decodes an answer's "return" into result, which may be nil.
func decodeAnswer(execute, answer string, result any) error {
	if len(answer) > longestAnswer {
		return fmt.Errorf("guest agent: %s: found an answer of %d bytes, want at most %d", execute, len(answer), longestAnswer)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal([]byte(answer), &struct {
		Return any `json:"return"`
	}{result}); err != nil {
		return fmt.Errorf("guest agent: %s: %w", execute, err)
	}
	return nil
}

// agentError is libvirt's error of an agent's command, which repeats what the guest says: as text it is harmless.
type agentError struct{ error }

func (e agentError) Error() string { return ErrorText(e.error) }

func (e agentError) Unwrap() error { return e.error }

// Answers are what agents said to one round of questions: true to an answer, false to none. A VM whose agent could not
// be asked is not among them.
type Answers struct {
	At  time.Time
	VMs map[string]bool // by UUID
}

// AskAgents asks the agents of some VMs whether they are there. It closes its reference to the connection, as it may
// take longer than the stage.
func AskAgents(ctx context.Context, conn *libvirt.Connect, calls *Calls, vms []VM) Answers {
	defer func() { _, _ = conn.Close() }()
	got := Answers{At: time.Now(), VMs: map[string]bool{}}
	ping := func(dom *libvirt.Domain) (struct{}, error) {
		return struct{}{}, agentCommand(dom, agentTimeout, "guest-ping", nil, nil)
	}
	askEach(ctx, conn, calls, vms, ping, func(uuid string, _ struct{}, err error) {
		silent := errors.Is(err, libvirt.ERR_AGENT_UNRESPONSIVE) || errors.Is(err, libvirt.ERR_AGENT_COMMAND_TIMEOUT)
		if err == nil || silent {
			got.VMs[uuid] = err == nil
		}
	})
	return got
}

// askEach asks the agents of VMs at the same time, and tells what each has answered, one after the other. A VM that is gone, or
// for which there was no call left, is left out.
func askEach[T any](
	ctx context.Context, conn *libvirt.Connect, calls *Calls, vms []VM,
	ask func(*libvirt.Domain) (T, error), tell func(uuid string, answer T, err error),
) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, vm := range vms {
		wg.Go(func() {
			dom, err := conn.LookupDomainByUUIDString(vm.UUID)
			if err != nil {
				return
			}
			defer func() { _ = dom.Free() }()
			var answer T
			if gone := calls.ask(ctx, "agent", func() { answer, err = ask(dom) }); gone != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			tell(vm.UUID, answer, err)
		})
	}
	wg.Wait()
}
