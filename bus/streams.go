package bus

import "time"

// HistoryStream is the JetStream stream of what happened: lifecycle events, and decisions that changed something.
const HistoryStream = "vmscaler-history"

// DemandStream is the JetStream stream of what was asked of each group, minute by minute.
const DemandStream = "vmscaler-demand"

// How long the streams keep a message, and how many bytes of them; the oldest goes first. An event or decision has about 500 to
// 1,000 bytes, a minute of a group's demand about 300: 14 days of five groups.
const (
	HistoryAge   = 7 * 24 * time.Hour
	HistoryBytes = 64 << 20
	DemandAge    = 14 * 24 * time.Hour
	DemandBytes  = 32 << 20
)

// HistorySubjects are what HistoryStream keeps. No subject of a request is among them: JetStream would answer it itself.
func HistorySubjects() []string {
	return []string{AllEvents, "vmscaler.decision.*." + string(Out), "vmscaler.decision.*." + string(In)}
}

// The key-value buckets. The state is what must outlive every process; the lock is who leads, and need not.
const (
	StateBucket = "vmscaler-state"
	LockBucket  = "vmscaler-lock"
	// AgentsBucket is, in a cluster, which hosts may have an agent. No role may read or write it.
	AgentsBucket = "vmscaler-agents"
)
