package policy

import "slices"

// Ring keeps the newest values of a series, at most Size.
type Ring struct {
	Size   int       `json:"size"`
	Values []float64 `json:"values"` // once it is full, the oldest is at Next
	Next   int       `json:"next"`
}

// Push adds a value and returns the one that it displaces, if any.
func (r *Ring) Push(v float64) (old float64, full bool) {
	if len(r.Values) < r.Size {
		r.Values = append(r.Values, v)
		return 0, false
	}
	old = r.Values[r.Next]
	r.Values[r.Next] = v
	r.Next = (r.Next + 1) % r.Size
	return old, true
}

// Len is the number of values.
func (r *Ring) Len() int { return len(r.Values) }

// Back is the value that many before the newest; back is 0 to Len-1.
func (r *Ring) Back(back int) float64 {
	n := len(r.Values)
	return r.Values[(r.Next+n-1-back)%n]
}

// Quantiles keeps the newest values of a series with their order, so that any quantile of them costs nothing.
type Quantiles struct {
	Ring   Ring      `json:"ring"`
	sorted []float64 // made of the ring where it is missing, as after a restart
}

// Add takes a value, and forgets the oldest if there are too many.
func (q *Quantiles) Add(v float64) {
	q.order()
	if old, full := q.Ring.Push(v); full {
		i, _ := slices.BinarySearch(q.sorted, old)
		q.sorted = slices.Delete(q.sorted, i, i+1)
	}
	i, _ := slices.BinarySearch(q.sorted, v)
	q.sorted = slices.Insert(q.sorted, i, v)
}

// At is the p-quantile, p being 0 to 1: the smallest value that at least this share of all is not above. 0 without values.
func (q *Quantiles) At(p float64) float64 {
	q.order()
	n := len(q.sorted)
	if n == 0 {
		return 0
	}
	return q.sorted[min(int(p*float64(n)), n-1)]
}

func (q *Quantiles) order() {
	if len(q.sorted) != len(q.Ring.Values) {
		q.sorted = slices.Clone(q.Ring.Values)
		slices.Sort(q.sorted)
	}
}
