package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vmscaler/vmscaler/bus"
)

// ErrNoStore means that the server keeps no state: it has no JetStream.
var ErrNoStore = errors.New("this bus keeps no state: its NATS server has no JetStream")

// ErrNotKept means that nothing was kept under a key.
var ErrNotKept = errors.New("nothing is kept under this key")

// ErrKept means that something is kept under a key already.
var ErrKept = errors.New("something is kept under this key already")

func stateConfig() jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: bus.StateBucket, Description: "vmscaler: what groups were told, and where their decider stood",
		MaxBytes: 8 << 20, Storage: jetstream.FileStorage,
	}
}

// In memory, so that a bus that was restarted does not wait for a lock whose holder ended with it; a cluster keeps it in files,
// see replicated.
func lockConfig(ttl time.Duration) jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: bus.LockBucket, Description: "vmscaler: which decider leads", TTL: ttl, MaxBytes: 1 << 20,
		Storage: jetstream.MemoryStorage,
	}
}

// EnsureStore makes the buckets where they are missing; ttl is how long a leader that gives no sign of life keeps
// others from leading. On a server without JetStream the error is ErrNoStore.
func EnsureStore(ctx context.Context, c *Conn, ttl time.Duration) error {
	return c.ensureBuckets(ctx, stateConfig(), lockConfig(ttl))
}

// EnsureAgents makes the bucket that tells the members of a cluster which hosts may have an agent.
func EnsureAgents(ctx context.Context, c *Conn) error {
	return c.ensureBuckets(ctx, jetstream.KeyValueConfig{
		Bucket: bus.AgentsBucket, Description: "vmscaler: which hosts may have an agent", MaxBytes: 1 << 20,
		Storage: jetstream.FileStorage,
	})
}

func (c *Conn) ensureBuckets(ctx context.Context, buckets ...jetstream.KeyValueConfig) error {
	js, err := jetstream.New(c.nc)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	for _, cfg := range buckets {
		_, err := js.KeyValue(ctx, cfg.Bucket)
		if errors.Is(err, jetstream.ErrBucketNotFound) {
			err = c.makeReplicated(func(replicas int) error {
				_, err := js.CreateKeyValue(ctx, replicated(cfg, replicas))
				return err
			})
		}
		if err != nil {
			return storeError(err)
		}
	}
	return nil
}

// replicated is what is kept on so many servers. A server that kept it in memory, and was restarted, has a vote again only once
// another one has told it what it had: until then it is of no use for a majority, and after an end of all three, two would wait
// for the third for ever.
func replicated(cfg jetstream.KeyValueConfig, replicas int) jetstream.KeyValueConfig {
	cfg.Replicas = replicas
	if replicas > 1 {
		cfg.Storage = jetstream.FileStorage
	}
	return cfg
}

// clusterReplicas is how many servers of a cluster keep the same: it outlives the loss of one of them.
const clusterReplicas = 3

// errNoReplicas is JetStream's code for a server that forms no cluster with others.
const errNoReplicas jetstream.ErrorCode = 10074

// makeReplicated makes what is kept, on three servers where the server is one of a cluster. While fewer of them are there that
// fails, and is to be tried again: what is made on one is lost with it.
func (c *Conn) makeReplicated(create func(replicas int) error) error {
	if c.nc.ConnectedClusterName() == "" {
		return create(1)
	}
	err := create(clusterReplicas)
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == errNoReplicas { // a cluster without JetStream of its own, as of leaf nodes
		return create(1)
	}
	return err
}

func storeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount),
		errors.Is(err, nats.ErrNoResponders):
		return ErrNoStore
	}
	return fmt.Errorf("state: %w", err)
}

// bucket is a key-value bucket; the error is ErrNoStore where there is none.
func (c *Conn) bucket(ctx context.Context, name string) (jetstream.KeyValue, error) {
	js, err := jetstream.New(c.nc)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	kv, err := js.KeyValue(ctx, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, ErrNoStore
	}
	return kv, storeError(err)
}

// Load reads what was kept under a key into v; the error is ErrNotKept where there is nothing. Only deciders may.
func (c *Conn) Load(ctx context.Context, key string, v any) error {
	kv, err := c.bucket(ctx, bus.StateBucket)
	if err != nil {
		return err
	}
	end := c.calls.Begin(bus.APIBus, "load")
	entry, err := kv.Get(ctx, key)
	end()
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return ErrNotKept
	}
	if err != nil {
		return storeError(err)
	}
	if err := json.Unmarshal(entry.Value(), v); err != nil {
		return fmt.Errorf("state: %s: %w", key, err)
	}
	return nil
}

// Save keeps v under a key. Only deciders may.
func (c *Conn) Save(ctx context.Context, key string, v any) error {
	kv, err := c.bucket(ctx, bus.StateBucket)
	if err != nil {
		return err
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("state: %s: %w", key, err)
	}
	end := c.calls.Begin(bus.APIBus, "save")
	_, err = kv.Put(ctx, key, data)
	end()
	return storeError(err)
}

// SaveFirst is Save where nothing is kept under the key yet; the error is ErrKept where something is.
func (c *Conn) SaveFirst(ctx context.Context, key string, v any) error {
	kv, err := c.bucket(ctx, bus.StateBucket)
	if err != nil {
		return err
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("state: %s: %w", key, err)
	}
	if _, err = kv.Create(ctx, key, data); errors.Is(lockError(err, ErrKept), ErrKept) {
		return ErrKept
	}
	return storeError(err)
}
