package bus_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
)

// The page describes the contract for people who listen from outside, with files of the repository repeated in it.
const (
	messagesPage = "docs/messages.md"
	repository   = ".."
)

// messageTypes are the types whose fields the page describes, each under a heading of its name. A struct that one of
// them contains must be here too.
var messageTypes = []any{
	bus.Sample{},
	bus.VM{},
	bus.VMOrder{},
	bus.Attachment{},
	bus.Rates{},
	bus.Host{},
	bus.Decision{},
	bus.Share{},
	bus.Balance{},
	bus.HostStanding{},
	bus.HostOrder{},
	bus.Place{},
	bus.Controls{},
	bus.Saying{},
	bus.AddedAction{},
	bus.ScheduledAction{},
	bus.ScheduleOrder{},
	bus.Refresh{},
	bus.RefreshOrder{},
	bus.Inputs{},
	bus.Recommendation{},
	bus.Event{},
	bus.Health{},
	bus.Problem{},
	bus.Acts{},
	bus.CallTime{},
	bus.PendingHook{},
	bus.HostTemplate{},
	bus.TemplateServer{},
	bus.Metric{},
	bus.Demand{},
	bus.GuestLoad{},
	bus.Victims{},
	bus.Candidate{},
	bus.VictimsAnswer{},
	bus.Query{},
	bus.HookAnswer{},
	bus.Wake{},
	bus.Forecast{},
	bus.Outlook{},
	bus.Launch{},
	bus.Launched{},
	bus.VMAnswer{},
	bus.Status{},
	bus.GroupStatus{},
}

// valueTypes are the types whose constants the page describes, each under a heading of its name.
var valueTypes = []any{
	bus.Phase(""),
	bus.TemplateState(""),
	bus.TemplateReason(""),
	bus.State(""),
	bus.Direction(""),
	bus.VMVerb(""),
	bus.Rest(""),
	bus.Outcome(""),
	bus.Refusal(""),
	bus.Scope(""),
	bus.HostState(""),
	bus.BalanceState(""),
	bus.OrderCause(""),
	bus.HostAction(""),
	bus.Control(""),
	bus.RefreshPhase(""),
	bus.RefreshStrategy(""),
	bus.UpdateAction(""),
	bus.RefreshAction(""),
	bus.Rule(""),
	bus.Guard(""),
	bus.PolicyType(""),
	bus.EventType(""),
	bus.ProblemCode(""),
	bus.HookKind(""),
	bus.HookAction(""),
	bus.WaitFor(""),
	bus.WakeState(""),
	bus.RefusalCode(""),
}

func readPage(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repository, messagesPage))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// section is the text between a heading and the next one, of whatever level.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	_, rest, found := strings.Cut(page, "# "+heading+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", messagesPage, heading)
	}
	if end := regexp.MustCompile(`(?m)^#+ `).FindStringIndex(rest); end != nil {
		rest = rest[:end[0]]
	}
	return rest
}

// rows are the cells of a section's table below its head, by the columns' names.
func rows(t *testing.T, page, heading string) []map[string]string {
	t.Helper()
	var columns []string
	var all []map[string]string
	for line := range strings.Lines(section(t, page, heading)) {
		line, isRow := strings.CutPrefix(strings.TrimSpace(line), "|")
		if !isRow || strings.HasPrefix(line, "---") {
			continue
		}
		cells := strings.Split(strings.TrimSuffix(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if columns == nil {
			columns = cells
			continue
		}
		row := map[string]string{}
		for i, column := range columns {
			if i < len(cells) {
				row[column] = cells[i]
			}
		}
		if len(cells) != len(columns) {
			t.Errorf("%s: the row of %s has %d cells, want %d", heading, cells[0], len(cells), len(columns))
		}
		all = append(all, row)
	}
	if len(all) == 0 {
		t.Fatalf("%s: no table under %q", messagesPage, heading)
	}
	return all
}

func code(cell string) string { return strings.Trim(cell, "`") }

// sameNames compares the names that a table has with those that the program has.
func sameNames(t *testing.T, table []map[string]string, column string, want []string) {
	t.Helper()
	seen := map[string]int{}
	for _, row := range table {
		seen[code(row[column])]++
	}
	for _, name := range want {
		switch seen[name] {
		case 0:
			t.Errorf("no row for %q", name)
		case 1:
		default:
			t.Errorf("%d rows for %q", seen[name], name)
		}
		delete(seen, name)
	}
	for name := range seen {
		t.Errorf("a row for %q, which the program does not have", name)
	}
}

func TestMessagesPageHasEveryField(t *testing.T) {
	page := readPage(t)
	known := map[reflect.Type]bool{}
	for _, m := range messageTypes {
		known[reflect.TypeOf(m)] = true
	}
	values := map[reflect.Type]bool{}
	for _, v := range valueTypes {
		values[reflect.TypeOf(v)] = true
	}
	for _, m := range messageTypes {
		typ := reflect.TypeOf(m)
		t.Run(typ.Name(), func(t *testing.T) {
			table := rows(t, page, typ.Name())
			fields := map[string]reflect.StructField{}
			for i := range typ.NumField() {
				f := typ.Field(i)
				if f.Name == "trace" { // which is in the message's header
					continue
				}
				if f.Anonymous || !f.IsExported() {
					t.Fatalf("field %s: embedded or hidden fields are not looked at", f.Name)
				}
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				fields[name] = f
			}
			sameNames(t, table, "field", slices.Sorted(maps.Keys(fields)))
			for _, row := range table {
				if f, is := fields[code(row["field"])]; is {
					checkRow(t, row, f, known, values)
				}
			}
		})
	}
}

// checkRow compares what a row says of a field with its Go type.
func checkRow(t *testing.T, row map[string]string, f reflect.StructField, known, values map[reflect.Type]bool) {
	t.Helper()
	name := code(row["field"])
	want, err := typeOnPage(f.Type, known, values)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if row["type"] != want {
		t.Errorf("%s: its type is %q on the page, want %q", name, row["type"], want)
	}
	if row["meaning"] == "" {
		t.Errorf("%s: no meaning", name)
	}
	omitted := strings.Contains(f.Tag.Get("json"), ",omitempty")
	mayBeNull := f.Type.Kind() == reflect.Pointer && !omitted
	if says := strings.HasPrefix(row["unknown"], "absent"); says != omitted {
		t.Errorf("%s: the page says %q, but that it can be absent is %v", name, row["unknown"], omitted)
	}
	if says := strings.HasPrefix(row["unknown"], "null"); mayBeNull && !says || says && !mayBeNull && f.Type.Kind() != reflect.Map {
		t.Errorf("%s: the page says %q, but that it can be null is %v", name, row["unknown"], mayBeNull)
	}
	switch example := row["example"]; {
	case strings.HasPrefix(example, "`"):
		v := reflect.New(f.Type)
		if err := json.Unmarshal([]byte(code(example)), v.Interface()); err != nil {
			t.Errorf("%s: example %s: %v", name, example, err)
		}
	case example != "see below" && example != "see above":
		t.Errorf("%s: no example: %q", name, example)
	}
}

// typeOnPage is what the page calls a type.
func typeOnPage(typ reflect.Type, known, values map[reflect.Type]bool) (string, error) {
	link := func() string { return fmt.Sprintf("[%s](#%s)", typ.Name(), strings.ToLower(typ.Name())) }
	switch {
	case typ == reflect.TypeFor[time.Time]():
		return "time", nil
	case typ == reflect.TypeFor[bus.HostID](): // any
		return "string", nil
	case values[typ]:
		return link(), nil
	case typ.PkgPath() != "" && !known[typ]:
		return "", fmt.Errorf("type %s is neither in messageTypes nor in valueTypes", typ)
	}
	switch typ.Kind() {
	case reflect.Pointer:
		return typeOnPage(typ.Elem(), known, values)
	case reflect.Slice:
		of, err := typeOnPage(typ.Elem(), known, values)
		return "list of " + of, err
	case reflect.Struct:
		return link(), nil
	case reflect.Map:
		return "object", nil
	case reflect.String:
		return "string", nil
	case reflect.Bool:
		return "boolean", nil
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return "integer", nil
	case reflect.Float64:
		return "number", nil
	default:
		return "", fmt.Errorf("the page has no word for %s", typ)
	}
}

func TestMessagesPageHasEveryValue(t *testing.T) {
	page := readPage(t)
	constants := stringConstants(t)
	for _, v := range valueTypes {
		name := reflect.TypeOf(v).Name()
		t.Run(name, func(t *testing.T) {
			if len(constants[name]) == 0 {
				t.Fatalf("no constant of type %s was found", name)
			}
			table := rows(t, page, name)
			sameNames(t, table, "value", constants[name])
			for _, row := range table {
				if row["meaning"] == "" {
					t.Errorf("%s: no meaning", row["value"])
				}
			}
		})
	}
}

// stringConstants are the values of the package's constants, by the name of their type.
func stringConstants(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			group, is := decl.(*ast.GenDecl)
			if !is || group.Tok != token.CONST {
				continue
			}
			for _, spec := range group.Specs {
				constant := spec.(*ast.ValueSpec)
				typ, is := constant.Type.(*ast.Ident)
				if !is {
					continue
				}
				for _, value := range constant.Values {
					if literal, is := value.(*ast.BasicLit); is && literal.Kind == token.STRING {
						text, err := strconv.Unquote(literal.Value)
						if err != nil {
							t.Fatal(err)
						}
						found[typ.Name] = append(found[typ.Name], text)
					}
				}
			}
		}
	}
	return found
}

func TestMessagesPageHasTheSubjects(t *testing.T) {
	page := readPage(t)
	groupEvent, dotted := bustest.Event(), bustest.Event()
	groupEvent.VM = ""
	dotted.VM = "web.3 _"
	hold := bustest.Decision()
	hold.Direction = bus.Hold
	messages := map[string][]bus.Outgoing{
		"sample":    {bustest.Sample()},
		"decision":  {bustest.Decision(), hold},
		"lifecycle": {bustest.Event(), groupEvent, dotted},
		"health":    {bustest.Health()},
		"metric":    {bustest.Metric()},
		"demand":    {bustest.Demand()},
		"load":      {bustest.GuestLoad()},
		"victims":   {bustest.Victims()},
	}
	var requests []string
	placeholder := regexp.MustCompile(`<[^>]+>`)
	for _, row := range rows(t, page, "Subjects") {
		pattern := code(row["subject"])
		if pattern == "vmscaler.wake.<group>" {
			if got := bus.WakeSubject("web"); got != "vmscaler.wake.web" {
				t.Errorf("a group is woken on %s", got)
			}
			continue
		}
		if verb, is := strings.CutPrefix(pattern, "vmscaler.ctl."); is {
			requests = append(requests, verb)
			continue
		}
		kind := strings.Split(pattern, ".")[1]
		if len(messages[kind]) == 0 {
			t.Errorf("%s is a subject of no message, or has two rows", pattern)
		}
		for _, m := range messages[kind] {
			fields := jsonFields(t, m)
			got := placeholder.ReplaceAllStringFunc(pattern, func(p string) string {
				value, is := fields[strings.Trim(p, "<>")].(string)
				if !is {
					t.Errorf("%s: there is no field for %s", pattern, p)
				}
				if p == "<vm>" && value == "" {
					return "_"
				}
				return bus.Token(value)
			})
			if want := m.Subject(); got != want {
				t.Errorf("%s gives %s, the program publishes on %s", pattern, got, want)
			}
		}
		delete(messages, kind)
	}
	for kind := range messages {
		t.Errorf("no row for the subject of %s", kind)
	}

	// In two tables: among all subjects, and with their answers.
	verbs := []string{
		strings.TrimPrefix(bus.ApplySubject, "vmscaler.ctl."),
		bus.VerbDryRun,
		bus.VerbExplain,
		bus.VerbForecast,
		bus.VerbForget,
		bus.VerbHook,
		bus.VerbHost,
		bus.VerbLaunch,
		bus.VerbPause,
		bus.VerbRefresh,
		bus.VerbReset,
		bus.VerbResume,
		bus.VerbScale,
		bus.VerbSchedule,
		bus.VerbSet,
		bus.VerbStatus,
	}
	for _, v := range bus.VMVerbs() {
		verbs = append(verbs, string(v))
	}
	slices.Sort(verbs)
	slices.Sort(requests)
	if !slices.Equal(requests, verbs) {
		t.Errorf("requests %q, want %q", requests, verbs)
	}
	for i := range verbs {
		verbs[i] = "vmscaler.ctl." + verbs[i]
	}
	sameNames(t, rows(t, page, "Requests"), "subject", append(verbs, "vmscaler.wake.<group>"))

	for _, row := range rows(t, page, "Tokens") {
		if got := bus.Token(code(row["name"])); got != code(row["token"]) {
			t.Errorf("the token of %s is %s on the page, want %s", row["name"], row["token"], got)
		}
	}
}

func jsonFields(t *testing.T, m any) map[string]any {
	t.Helper()
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

func TestMessagesPageHasTheHistory(t *testing.T) {
	subjects := section(t, readPage(t), "Subjects")
	kept := fmt.Sprintf(
		"the JetStream stream `%s` holds it: for %d days, %d MiB at most",
		bus.HistoryStream,
		bus.HistoryAge/(24*time.Hour),
		bus.HistoryBytes>>20,
	)
	if !strings.Contains(subjects, kept) {
		t.Errorf("the page does not say: %s", kept)
	}
	says := map[string]string{}
	for _, row := range rows(t, readPage(t), "Subjects") {
		says[strings.Split(code(row["subject"]), ".")[1]] = row["kept"]
	}
	if want := map[string]string{
		"sample": "no", "decision": "`out` and `in`: yes; `hold`: no", "lifecycle": "yes", "health": "no", "ctl": "no", "metric": "no",
		"demand": "14 days", "load": "no", "victims": "no",
		"wake": "no",
	}; !maps.Equal(says, want) {
		t.Errorf("kept: got %v\nwant %v", says, want)
	}
	if want := []string{bus.AllEvents, "vmscaler.decision.*.out", "vmscaler.decision.*.in"}; !slices.Equal(
		bus.HistorySubjects(),
		want,
	) {
		t.Errorf("the stream keeps %v, the page says %v", bus.HistorySubjects(), want)
	}
}

// Whatever stands in a file stands in the page as it is; -update takes it over. In parallel, as then it comes after
// the test that writes the golden files.
func TestMessagesPageRepeatsTheFiles(t *testing.T) {
	t.Parallel()
	var files []string
	for _, pattern := range []string{"bus/testdata/*.json", "docs/recipes/*.*", "docs/recipes/go/*.go"} {
		found, err := filepath.Glob(filepath.Join(repository, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(found), err)
		}
		files = append(files, found...)
	}
	page := readPage(t)
	languages := map[string]string{".json": "json", ".sh": "sh", ".py": "python", ".go": "go"}
	repeated := map[string]bool{}
	for _, path := range files {
		name := filepath.ToSlash(strings.TrimPrefix(path, repository+string(filepath.Separator)))
		repeated[name] = true
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.TrimPrefix(string(content), "#!/usr/bin/env bash\n")
		start := fmt.Sprintf("<!-- %s -->\n```%s\n", name, languages[filepath.Ext(name)])
		before, rest, found := strings.Cut(page, start)
		if !found {
			t.Errorf("%s lacks %s: add these lines, then run with -update\n%s```", messagesPage, name, start)
			continue
		}
		got, after, closed := strings.Cut(rest, "```\n")
		if !closed {
			t.Fatalf("%s: the block of %s does not end", messagesPage, name)
		}
		if got == want {
			continue
		}
		if !*update {
			t.Errorf("%s has another %s than the file (write it again with -update)", messagesPage, name)
		}
		page = before + start + want + "```\n" + after
	}
	for _, match := range regexp.MustCompile(`(?m)^<!-- (.*) -->$`).FindAllStringSubmatch(page, -1) {
		if !repeated[match[1]] {
			t.Errorf("%s repeats %s, which does not exist", messagesPage, match[1])
		}
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(filepath.Join(repository, messagesPage), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A newcomer builds the Go recipe and runs it against a bus, without credentials.
func TestGoRecipe(t *testing.T) {
	program := filepath.Join(t.TempDir(), "recipe")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program,
		"../docs/recipes/go").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := bustest.StartServer(t)
	stage := bustest.Join(t, s, "stage")
	recipe := exec.CommandContext(bustest.Limit(t), program, s.URL())
	var problems bytes.Buffer
	recipe.Stderr = &problems
	out, err := recipe.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := recipe.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			select {
			case lines <- scanner.Text():
			default: // one is enough, but the program must not block on the others
			}
		}
	}()
	event := bustest.Event()
	bustest.Eventually(t, "the recipe prints an event", func() bool { // what it misses while it starts is not repeated for it
		if err := stage.Publish(event); err != nil {
			t.Fatal(err)
		}
		return len(lines) > 0
	})
	want := fmt.Sprintf("%s %s %s %s %s", event.Group, event.VM, event.Event, event.Sentence, event.Error)
	if got := <-lines; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := recipe.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for range lines { // Wait closes the pipe, so all is read before
	}
	if err := recipe.Wait(); err != nil || problems.Len() > 0 {
		t.Errorf("%v\n%s", err, &problems)
	}
}
