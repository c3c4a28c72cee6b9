package client

// For the tests of package client_test.
const (
	HistoryPerSubject = historyPerSubject
	LockKey           = lockKey
	MaxQuery          = maxQuery
	MaxRequests       = maxRequests
)

var (
	DecodeEntry = decodeEntry
	PlainServer = plainServer
	LetterOf    = letterOf
	LeastTerm   = (*Leadership).least
)
