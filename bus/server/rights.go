package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// rightsEvery is how often the state folder is looked at for hosts and tokens that have come or gone.
const rightsEvery = 500 * time.Millisecond

// doorman lets hosts in by what the state folder says, while the server runs.
type doorman struct {
	ns       *server.Server
	options  *server.Options // as the server was started, with the roles alone
	stateDir string
	cert     string // file with the server's certificate; "": it has no TLS
	now      func() time.Time
	log      zerolog.Logger
	members  *spreader // nil where there are no other members

	mu    sync.Mutex
	holds rights
	said  string // what was wrong with the state folder
}

// withRights are options with the keys of agents, of tokens and of those limited to groups beside those of the roles,
// whose own nobody else may have.
func withRights(options *server.Options, r rights) *server.Options {
	all := options.Clone()
	add := func(key string, p bus.Permissions) {
		if !slices.ContainsFunc(all.Nkeys, func(u *server.NkeyUser) bool { return u.Nkey == key }) {
			all.Nkeys = append(all.Nkeys, &server.NkeyUser{Nkey: key, Permissions: serverPermissions(p)})
		}
	}
	for _, a := range r.agents {
		add(a.Key, bus.AgentPermissions(a.HostID))
	}
	for _, t := range r.tokens {
		add(t.Key, joinPermissions(t.Key))
	}
	for _, c := range r.limited {
		add(c.key, c.permissions)
	}
	return all
}

// refresh has the server let in whom the state folder names now, and no others any more: their connections end.
func (d *doorman) refresh() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	found, bad := readRights(d.stateDir, d.now())
	if bad != nil && bad.Error() != d.said {
		d.log.Error().Msgf("bus: who is named there is not let in: %s", strings.ReplaceAll(bad.Error(), "\n", "; "))
	}
	d.said = ""
	if bad != nil {
		d.said = bad.Error()
	}
	if found.same(d.holds) {
		return nil
	}
	if err := d.ns.ReloadOptions(withRights(d.options, found)); err != nil {
		return fmt.Errorf("bus: let hosts in: %w", err)
	}
	d.holds = found
	return nil
}

// start serves requests to join, and follows the state folder until stop, which waits for it.
func (d *doorman) start(conn *client.Conn) (stop func(), err error) {
	sub, err := conn.NATS().Subscribe(bus.AllJoins, d.join)
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	if err := conn.Flush(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(rightsEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				d.look(ctx)
			case <-ctx.Done():
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		cancel()
		<-done
		_ = sub.Unsubscribe() // fails on a closed connection only
		conn.Close()
	}), nil
}

// look has the state folder hold, and the same on all members.
func (d *doorman) look(ctx context.Context) {
	var err error
	if d.members != nil {
		err = d.members.step(ctx)
	}
	if err := errors.Join(err, d.refresh()); err != nil && ctx.Err() == nil {
		d.log.Error().Err(err).Msg("bus")
	}
}

// join answers one request to join. Whose it is is known by its subject, which nobody else may use.
func (d *doorman) join(msg *nats.Msg) {
	key := strings.TrimPrefix(msg.Subject, strings.TrimSuffix(bus.AllJoins, "*"))
	if !strings.HasPrefix(msg.Reply, bus.JoinInbox(key)+".") {
		return // it would make the bus publish elsewhere
	}
	if d.members != nil && !d.knows(key) {
		return // the member that has made the token answers, and this one's no could come before its yes
	}
	answer := d.answer(key, msg.Data)
	if answer.Refused == "" {
		d.log.Info().Msgf("bus: the host %s has joined", answer.Name)
	}
	data, err := json.Marshal(answer)
	if err == nil {
		err = msg.Respond(data)
	}
	if err != nil {
		d.log.Warn().Err(err).Msg("bus: answer to a host that joins")
	}
}

// knows reports whether a token is of this state folder.
func (d *doorman) knows(key string) bool {
	found, _ := readFolder(d.stateDir, tokensFolder, Token.check)
	for _, t := range found {
		if t.Key == key {
			return true
		}
	}
	return false
}

func (d *doorman) answer(key string, data []byte) bus.Joined {
	failed := func(err error) bus.Joined {
		return bus.Joined{V: bus.Version, Refused: bus.JoinFailed, Text: bus.Cut(err.Error())}
	}
	j, err := bus.Decode[bus.Join](data)
	if err != nil {
		return failed(err)
	}
	if slices.ContainsFunc(d.options.Nkeys, func(u *server.NkeyUser) bool { return u.Nkey == j.Key }) || j.Key == key {
		return failed(errors.New("the key is none of the host's own"))
	}
	var certificates []byte
	if d.cert != "" {
		if certificates, err = os.ReadFile(d.cert); err != nil {
			return failed(err)
		}
	}
	answer := redeem(d.stateDir, key, j, d.now())
	if answer.Refused != "" {
		return answer
	}
	if err := d.refresh(); err != nil {
		return failed(err)
	}
	answer.Certificates = string(certificates)
	return answer
}
