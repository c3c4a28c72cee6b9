package simulate

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

// plain are two columns.
var plain = Columns{}

func TestReadTrace(t *testing.T) {
	got, err := plain.Read("load", strings.NewReader("# where it is from\nt_seconds,demand_vcpus\n0,1\n30,2.5\n60,0\n"))
	want := Trace{Name: "load", Step: 30 * time.Second, Demand: []float64{1, 2.5, 0}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for second, demand := range map[int]float64{0: 1, 15: 1.75, 30: 2.5, 45: 1.25, 60: 0, 900: 0} {
		if d := got.At(second); d != demand {
			t.Errorf("at %d s: %g, want %g", second, d, demand)
		}
	}
	if got.Length() != time.Minute {
		t.Errorf("length %s", got.Length())
	}
	for text, wrong := range map[string]string{
		"":                                             "found 0 rows, want at least 2",
		"t_seconds,demand_vcpus\n0,1\n":                "found 1 rows",
		"load\n1\n":                                    `load:1: found "load", want a time and a demand`,
		"time,a,b\n0,1,2\n":                            `load:1: found "time,a,b", want one column beside the time: name`,
		"0,1,2\n1,1,2\n":                               `load:1: found "0,1,2", want two columns, or their names`,
		"t_seconds,demand_vcpus\n0,1\n0,1":             `load:3: found "0", want a later time`,
		"t_seconds,demand_vcpus\n0,1\nx,1":             `load:3: found "x", want whole seconds`,
		"t_seconds,demand_vcpus\n0.5,1\n":              `load:2: found "0.5", want whole seconds`,
		"t_seconds,demand_vcpus\n0,1\n9,-1":            `load:3: found "-1", want vCPUs from 0 to 1e+06`,
		"t_seconds,demand_vcpus\n0,NaN\n":              `found 0 rows`,
		"t_seconds,demand_vcpus\n0,1\n9":               `load:3: found "9", want 2 fields`,
		"t_seconds,demand_vcpus\n#\n0,1\n10,1\n21,1\n": `load:5: found a row 11 s after the one above, want rows on a fixed step`,
		"t_seconds,demand_vcpus\n0,1\n1,1\n9,1\n":      `load:4: found 7 rows missing up to here, at a step of 1 s, want at most`,
	} {
		if _, err := plain.Read("load", strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), wrong) ||
			!strings.Contains(err.Error(), "trace load") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What other tools export is read as it is.
func TestReadTraceOfOthers(t *testing.T) {
	want := []float64{1, 2, 3, 4}
	for name, tt := range map[string]struct {
		columns Columns
		text    string
	}{
		"no names":             {Columns{}, "0,1\n60,2\n120,3\n180,4\n"},
		"a byte order mark":    {Columns{}, "\ufefft_seconds,demand_vcpus\n0,1\n60,2\n120,3\n180,4\n"},
		"semicolons, blanks":   {Columns{}, "time; load\r\n0; 1\r\n60; 2\r\n120; 3\r\n180; 4\r\n"},
		"tabs":                 {Columns{}, "0\t1\n60\t2\n120\t3\n180\t4\n"},
		"times since 1970":     {Columns{}, "timestamp,value\n1806199200,1\n1806199260,2\n1806199320,3\n1806199380,4\n"},
		"milliseconds":         {Columns{}, "timestamp,value\n1806199200000,1\n1806199260000,2\n1806199320000,3\n1806199380000,4\n"},
		"fractions of seconds": {Columns{}, "0.0,1\n60.0,2\n120.0,3\n180.000,4\n"},
		"as Grafana exports": {Columns{}, "\"Time\",\"web\"\n\"2026-05-04 12:00:00\",\"1\"\n\"2026-05-04 12:01:00\",\"2\"\n" +
			"\"2026-05-04 12:02:00\",\"3\"\n\"2026-05-04 12:03:00\",\"4\"\n"},
		"RFC 3339": {Columns{}, "date,v\n2026-05-04T12:00:00Z,1\n2026-05-04T14:01:00+02:00,2\n2026-05-04T12:02:00Z,3\n" +
			"2026-05-04T12:03:00Z,4\n"},
		"a column by name":      {Columns{Demand: "cpu"}, "id,time,cpu,memory\na,0,1,9\na,60,2,9\na,120,3,9\na,180,4,9\n"},
		"percent":               {Columns{Scale: .01}, "0,100\n60,200\n120,300\n180,400\n"},
		"a row that is missing": {Columns{}, "0,1\n60,2\n180,4\n"},
		"a value that is":       {Columns{}, "time,v\n0,1\n60,2\n120,null\n180,4\n"},
	} {
		got, err := tt.columns.Read("load", strings.NewReader(tt.text))
		if err != nil || !reflect.DeepEqual(got.Demand, want) || got.Step != time.Minute {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if filled := strings.Contains(name, " that is"); filled != (got.Filled == 1) {
			t.Errorf("%s: %d rows were missing", name, got.Filled)
		}
	}
	if _, err := (Columns{Demand: "gpu"}).Read("load", strings.NewReader("time,cpu\n0,1\n")); err == nil ||
		!strings.Contains(err.Error(), `found the columns ["time" "cpu"], want "gpu" among them`) {
		t.Error(err)
	}
}

func TestReadTraces(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadTraces(dir, plain); err == nil || !strings.Contains(err.Error(), "found no *.csv") {
		t.Error(err)
	}
	if _, err := ReadTraces(filepath.Join(dir, "none"), plain); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	for _, name := range []string{"b.csv", "a.csv", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("t_seconds,demand_vcpus\n0,1\n1,1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	traces, err := ReadTraces(dir, plain)
	if err != nil || len(traces) != 2 || traces[0].Name != "a" || traces[1].Name != "b" {
		t.Errorf("%+v, %v", traces, err)
	}
}

// A trace beyond what can be run in a reasonable time is refused with its line, and what is no file at once.
func TestTraceBounds(t *testing.T) {
	for name, tt := range map[string]struct{ text, wrong string }{
		"two rows far apart":    {"0,1\n9000000000,1\n", `:3: found "9000000000", want at most 366 days after the first row`},
		"an absurd step":        {"-999999999999,1\n999999999999,1\n", ":3: found"},
		"an absurd time":        {"0,1\n9223372036854775807,1\n", `:3: found "9223372036854775807", want whole seconds`},
		"a time that no int is": {"0,1\n9223372036854775808,1\n", `want whole seconds`},
		"an absurd demand":      {"0,1e308\n1,1\n", `:2: found "1e308", want vCPUs from 0 to 1e+06`},
		"an infinite one":       {"0,inf\n1,1\n", `:2: found "inf"`},
		"a year and a day":      {"0,1\n31708800,1\n", `:3: found "31708800", want at most 366 days`},
		"a long line":           {"0,1\n1," + strings.Repeat("0", 5000) + "\n", ":3: found a longer line, want at most 4096 bytes"},
		"too many rows":         {rows(maxRows + 1), `:1000002: found "1000000,1", want at most 1000000 rows`},
		"zeros":                 {strings.Repeat("\x00", 100), ":2: found"},
	} {
		if _, err := plain.Read("load.csv", strings.NewReader("t_seconds,demand_vcpus\n"+tt.text)); err == nil ||
			!strings.Contains(err.Error(), "trace load.csv") ||
			!strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s: %v, want %s", name, err, tt.wrong)
		}
	}
	for name, text := range map[string]string{
		"as much as is allowed": "0,1\n31622400,1e6\n",
		"times since 1970":      "1806199200,1\n1806199260,1\n",
	} {
		if _, err := plain.Read("load.csv", strings.NewReader("t_seconds,demand_vcpus\n"+text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	endless := io.MultiReader(strings.NewReader("t_seconds,demand_vcpus\n"), repeat("# nothing\n"))
	if _, err := plain.Read("load.csv", endless); err == nil || !strings.Contains(err.Error(), "found 0 rows") {
		t.Errorf("an endless file: %v", err)
	}
}

func rows(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d,1\n", i)
	}
	return b.String()
}

// repeat is a line forever.
type repeat string

func (r repeat) Read(p []byte) (int, error) { return copy(p, r), nil }

func TestSpecialFilesAreNoTraces(t *testing.T) {
	dir := t.TempDir()
	fifo, folder := filepath.Join(dir, "fifo"), filepath.Join(dir, "folder")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(folder, "x.csv"), 0o700); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(dir, "large.csv")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, maxBytes+1); err != nil {
		t.Fatal(err)
	}
	for path, wrong := range map[string]string{
		fifo: "found a FIFO, want a regular file", "/dev/zero": "found a device", folder: "x.csv: found a folder",
		large: "found 67108865 bytes", filepath.Join(dir, "none"): "no such file",
	} {
		if _, err := ReadTraces(path, plain); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v, want %s", path, err, wrong)
		}
	}
	// One that has become a FIFO since it was looked at is not waited for.
	if _, err := plain.readFile(fifo); err == nil {
		t.Error("a FIFO is a trace")
	}
}
