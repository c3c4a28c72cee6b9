package bus

import (
	"encoding/json"
	"encoding/xml"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 250_000_000, time.UTC)

const someUUID = "5c0d2a9e-7f0b-4e53-9d6a-0d8a4e6b1c11"

func someMetadata() Metadata {
	return Metadata{
		Group: "web", Template: "demo", UUID: someUUID, Created: noon, Phase: PhaseReady, Since: noon.Add(time.Second),
		Pool: "default", Volume: VolumeName("web-1", someUUID),
	}
}

// Both are of VMs that an earlier program made, too: what it did not write is unknown.
func TestBootAndRebootAreKept(t *testing.T) {
	m := someMetadata()
	for _, booted := range []time.Time{{}, noon} {
		m.Booted = booted
		text, err := m.XML()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseMetadata(text, someUUID)
		if err != nil || !got.Booted.Equal(booted) || strings.Contains(text, "booted") == booted.IsZero() {
			t.Errorf("booted %s: got %s, %v from %s", booted, got.Booted, err, text)
		}
	}
}

func TestReboot(t *testing.T) {
	noon := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for element, want := range map[string]Reboot{
		`<reboot at="2026-05-04T12:00:00Z"/>`:                               {At: noon},
		`<reboot left="2026-05-04T12:01:00Z"/>`:                             {Left: noon.Add(time.Minute)},
		`<reboot at="2026-05-04T12:00:00Z" left="2026-05-04T12:01:00.5Z"/>`: {At: noon, Left: noon.Add(time.Minute + time.Second/2)},
		`<reboot at="yesterday"/>`:                                          {},
		`<restart at="2026-05-04T12:00:00Z"/>`:                              {},
		"":                                                                  {},
	} {
		got := ParseReboot(element)
		if got != want {
			t.Errorf("%s: got %+v, want %+v", element, got, want)
		}
		if again := ParseReboot(want.XML()); again != want {
			t.Errorf("%+v: read again it is %+v", want, again)
		}
	}
	for r, want := range map[Reboot]time.Time{
		{}:                            {},
		{At: noon}:                    noon,
		{Left: noon}:                  noon,
		{At: noon, Left: noon.Add(1)}: noon.Add(1),
		{At: noon.Add(1), Left: noon}: noon.Add(1),
	} {
		if got := r.Since(); !got.Equal(want) {
			t.Errorf("%+v: since %s, want %s", r, got, want)
		}
	}
}

func TestMetadataXML(t *testing.T) {
	const want = `<vm group="web" template="demo" uuid="5c0d2a9e-7f0b-4e53-9d6a-0d8a4e6b1c11" created="2026-05-04T12:00:00.25Z"` +
		` phase="ready" since="2026-05-04T12:00:01.25Z"><volume pool="default" name="web-1.5c0d2a9e.qcow2"></volume></vm>`
	m := someMetadata()
	if got, err := m.XML(); err != nil || got != want {
		t.Errorf("XML: %v\ngot  %s\nwant %s", err, got, want)
	}
	got, err := m.DefinitionXML()
	if err != nil {
		t.Fatal(err)
	}
	var in struct {
		XMLName xml.Name `xml:"urn:vmscaler:vm:1 vm"`
		Volume  struct {
			Name string `xml:"name,attr"`
		} `xml:"urn:vmscaler:vm:1 volume"`
	}
	if err := xml.Unmarshal([]byte(got), &in); err != nil || in.Volume.Name != m.Volume {
		t.Errorf("not in the namespace: %v: %s", err, got)
	}
}

func TestMetadataTimesAreUTC(t *testing.T) {
	m := someMetadata()
	m.Created = m.Created.In(time.FixedZone("CEST", 2*3600))
	text, err := m.XML()
	if err != nil || !strings.Contains(text, `created="2026-05-04T12:00:00.25Z"`) {
		t.Errorf("%v: %s", err, text)
	}
}

// What libvirt keeps as metadata comes back as it was, whatever a group, a pool or a file is called.
func TestMetadataRoundTrip(t *testing.T) {
	name := rapid.OneOf(
		rapid.SampledFrom([]string{`<vm `, `<volume `, `"><vm x="`, `&amp;`, `a'b"c`, `]]>`, "é日", ` `}),
		rapid.StringOfN(rapid.SampledFrom([]rune("<>&\"'= vmolue.-é日")), 1, 40, -1),
	)
	address := rapid.SampledFrom([]string{"", "10.0.0.7", "2001:db8::7"})
	machine := rapid.StringMatching(`([0-9a-f]{12})?`) // earlier versions wrote none
	at := rapid.Map(rapid.Int64Range(1, 4e9), func(s int64) time.Time { return time.Unix(s, s%1e9).UTC() })
	rapid.Check(t, func(t *rapid.T) {
		m := Metadata{
			Group: "web", Address: address.Draw(t, "address"), Machine: machine.Draw(t, "machine"), Template: name.Draw(t, "template"),
			UUID: someUUID, Created: at.Draw(t, "created"),
			Phase: rapid.SampledFrom([]Phase{PhaseCreating, PhaseLaunching, PhaseReady, PhaseDraining, PhaseStopping, PhaseFailed}).
				Draw(t, "phase"),
			Saver:   rapid.SampledFrom([]string{"", "qemu 7.2.22 libvirt 9.0.0 cpu 0c5d1f2e"}).Draw(t, "saver"),
			Storage: machine.Draw(t, "storage"), Restarts: rapid.Bool().Draw(t, "restarts"), Restarted: at.Draw(t, "restarted"),
			Since: at.Draw(t, "since"), Pool: name.Draw(t, "pool"), Volume: name.Draw(t, "volume"),
		}
		if rapid.Bool().Draw(t, "seeded") {
			m.Seed, m.Disks = SeedName(m.Volume), rapid.IntRange(0, MaxDisks).Draw(t, "disks")
		}
		for kind, encode := range map[string]func() (string, error){"XML": m.XML, "DefinitionXML": m.DefinitionXML} {
			text, err := encode()
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			if back, err := ParseMetadata(text, someUUID); err != nil || !reflect.DeepEqual(back, m) {
				t.Fatalf("%s: %v\ngot  %+v\nwant %+v\nfrom %s", kind, err, back, m, text)
			}
		}
	})
}

func TestParseMetadataRefuses(t *testing.T) {
	good, err := someMetadata().XML()
	if err != nil {
		t.Fatal(err)
	}
	without := func(attribute string) string {
		before, rest, _ := strings.Cut(good, attribute+`="`)
		_, after, _ := strings.Cut(rest, `"`)
		return before + after
	}
	if _, err := ParseMetadata(good, someUUID); err != nil {
		t.Fatalf("a good one is refused: %v", err)
	}
	for _, tt := range []struct{ name, element, uuid, want string }{
		{"of a copied definition", good, "a1b2c3d4-0000-4000-8000-00000000000a", "a copied definition"},
		{"of a domain whose UUID starts alike", good, someUUID[:8] + "-0000-4000-8000-00000000000a", "a copied definition"},
		{"no UUID", without(" uuid"), someUUID, "a copied definition"},
		{"no group", without(" group"), someUUID, "without group"},
		{"no phase", without(" phase"), someUUID, "without group"},
		{"no creation time", without(" created"), someUUID, "without group"},
		{"no pool", without(" pool"), someUUID, "without group"},
		{"no volume name", without(" name"), someUUID, "without group"},
		{"no volume", good[:strings.Index(good, "<volume")] + "</vm>", someUUID, "without group"},
		{
			"two volumes", strings.Replace(good, "</vm>", `<volume pool="default" name="precious.qcow2"/></vm>`, 1), someUUID,
			"2 volumes",
		},
		{"a group that is none", strings.Replace(good, `"web"`, `"../web 1"`, 1), someUUID, "group: found"},
		{"a saver that is no name", strings.Replace(good, "<vm ", `<vm saver="a/b" `, 1), someUUID, "saver: found"},
		{"a group of any length", strings.Replace(good, `"web"`, `"`+strings.Repeat("w", 4000)+`"`, 1), someUUID, "group: found"},
		{"an unknown phase", strings.Replace(good, `"ready"`, `"retired"`, 1), someUUID, "phase: found"},
		{"a template that is a path", strings.Replace(good, `"demo"`, `"../../etc/passwd"`, 1), someUUID, "template: found"},
		{"a template with control characters", strings.Replace(good, `"demo"`, "\"\u009b2J\"", 1), someUUID, "template: found"},
		{"a pool that runs backwards", strings.Replace(good, `"default"`, "\"a\u202eb\"", 1), someUUID, "pool: found"},
		{"a pool with a line's end", strings.Replace(good, `"default"`, `"a&#10;b"`, 1), someUUID, "pool: found"},
		{"a volume of any length", strings.Replace(good, `"web-1.`, `"`+strings.Repeat("w", 300)+`.`, 1), someUUID, "volume: found"},
		{
			"a year that JSON cannot say", strings.Replace(good, "2026-05-04T12:00:00.25Z", "9999-12-31T23:59:59-23:59", 1), someUUID,
			"created: found",
		},
		{
			"a time before all computers", strings.Replace(good, "2026-05-04T12:00:00.25Z", "0001-01-02T00:00:00Z", 1), someUUID,
			"created: found",
		},
		{
			"a phase of the far future", strings.Replace(good, "2026-05-04T12:00:01.25Z", "9998-01-01T00:00:00Z", 1), someUUID,
			"since: found",
		},
		{"an address with a zone", strings.Replace(good, "<vm ", `<vm address="2001:db8::1%$(x)" `, 1), someUUID, "address: found"},
		{"an address that is none", strings.Replace(good, "<vm ", `<vm address="10.0.0.1;" `, 1), someUUID, "address: found"},
		{"a storage that is no hash", strings.Replace(good, "<vm ", `<vm storage="$(x)" `, 1), someUUID, "storage: found"},
		{"a machine that is no hash", strings.Replace(good, "<vm ", `<vm machine="$(x)" `, 1), someUUID, "machine: found"},
		{
			"a machine of any length", strings.Replace(good, "<vm ", `<vm machine="`+strings.Repeat("0", 65)+`" `, 1), someUUID,
			"machine: found",
		},
		{"a seed of another name", strings.Replace(good, " name=", ` seed="precious.iso" name=`, 1), someUUID, "seed: found"},
		{"more disks than any has", strings.Replace(good, " name=", ` disks="17" name=`, 1), someUUID, "disks: found 17"},
		{"fewer disks than none", strings.Replace(good, " name=", ` disks="-1" name=`, 1), someUUID, "disks: found -1"},
		{"too long", strings.Replace(good, "<vm ", `<vm x="`+strings.Repeat("x", longestMetadata)+`" `, 1), someUUID, "want at most"},
		{"cut off", good[:len(good)/2], someUUID, "decode"},
		{"empty", "", someUUID, "decode"},
		{"another element", "<machine/>", someUUID, "decode"},
		{"damaged time", strings.Replace(good, "2026-05-04T12", "yesterday", 1), someUUID, "decode"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := ParseMetadata(tt.element, tt.uuid)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if !reflect.DeepEqual(m, Metadata{}) {
				t.Errorf("with an error it returned %+v", m)
			}
		})
	}
}

func TestVolumeName(t *testing.T) {
	for _, tt := range []struct{ vm, uuid, want string }{
		{"web-1", someUUID, "web-1.5c0d2a9e.qcow2"},
		{"", someUUID, ".5c0d2a9e.qcow2"},
		{"web-1", "abc", "web-1.abc.qcow2"},
		{"web-1", "", "web-1..qcow2"},
	} {
		if got := VolumeName(tt.vm, tt.uuid); got != tt.want {
			t.Errorf("VolumeName(%q, %q) = %q, want %q", tt.vm, tt.uuid, got, tt.want)
		}
	}
}

func TestVolumes(t *testing.T) {
	m := someMetadata()
	if got := strings.Join(m.Volumes(), " "); got != "web-1.5c0d2a9e.qcow2" {
		t.Errorf("got %s", got)
	}
	m.Seed, m.Disks = SeedName(m.Volume), 2
	const want = "web-1.5c0d2a9e.qcow2 web-1.5c0d2a9e.disk1.qcow2 web-1.5c0d2a9e.disk2.qcow2 web-1.5c0d2a9e.seed.iso"
	if got := strings.Join(m.Volumes(), " "); got != want {
		t.Errorf("got %s", got)
	}
}

// Whatever libvirt has, what is read can be said in a sample and written again.
func FuzzParseMetadata(f *testing.F) {
	good, err := someMetadata().XML()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(strings.Replace(good, "2026-05-04T12:00:00.25Z", "9999-12-31T23:59:59-23:59", 1))
	f.Add(strings.Replace(good, `"demo"`, "\"\u202e\"", 1))
	f.Fuzz(func(t *testing.T, element string) {
		m, err := ParseMetadata(element, someUUID)
		if err != nil {
			return
		}
		if _, err := json.Marshal([]time.Time{m.Created, m.Since, m.Booted}); err != nil {
			t.Errorf("%+v: %v", m, err)
		}
		text, err := m.XML()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseMetadata(text, someUUID); err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%+v became %+v: %v", m, again, err)
		}
	})
}

// TestPhasesMean: each phase has its meaning, and one of a later version has none, so that its VM is neither counted nor used.
func TestPhasesMean(t *testing.T) {
	meanings := map[Phase]string{
		PhaseCreating: "pending capacity", PhaseLaunching: "pending capacity", PhaseReady: "serves capacity",
		PhaseDraining: "leaving", PhaseStopping: "leaving", PhaseRetained: "leaving", PhaseFailed: "",
		PhaseStandby: "stands by", PhasePreparing: "pooled", PhaseWarm: "pooled",
	}
	for phase := range meanings {
		if !phase.Known() {
			t.Errorf("%s is not known", phase)
		}
	}
	for _, phase := range append(Phases(), "later", "") {
		want, tested := meanings[phase]
		if tested != phase.Known() {
			t.Errorf("%q: known %v, and has a meaning here: %v", phase, phase.Known(), tested)
		}
		var means []string
		for what, is := range map[string]bool{
			"serves": phase.Serves(), "pending": phase.Pending(), "capacity": phase.Capacity(),
			"leaving": phase.Leaving(), "stands by": phase.StandsBy(), "pooled": phase.Pooled(),
		} {
			if is {
				means = append(means, what)
			}
		}
		slices.SortFunc(means, func(a, b string) int { return strings.Compare(b, a) })
		if got := strings.Join(means, " "); got != want {
			t.Errorf("%q: %q, want %q", phase, got, want)
		}
	}
}
