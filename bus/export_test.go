package bus

// For the tests of package bus_test.
const (
	MaxAll      = maxAll
	MaxDepth    = maxDepth
	MaxDesired  = maxDesired
	MaxElements = maxElements
	MaxHostName = maxHostName
	MaxVCPUs    = maxVCPUs
	MaxWord     = maxWord
)

var ErrVersion = errVersion
