package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/template/checksum"
	"github.com/vmscaler/vmscaler/actuator/template/fetch"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

// templateImportCmd is the command template import.
type templateImportCmd struct {
	g            *globals
	name, source string

	sha256, sha512, checksums string
	insecure                  bool
	cache                     string
	catalogs                  []string

	given checksum.Digests
}

func templateImportCommand(g *globals) *cobra.Command {
	c := &templateImportCmd{g: g}
	cmd := &cobra.Command{
		Use:   "import NAME SOURCE",
		Short: "Make a template from any bootable disk image, of a file, a URL or the catalog",
		Long: long(`
Make a template from a disk image that a BIOS or UEFI starts: an installed system, a cloud image. SOURCE is a file, a URL, or the
name of a published image (see template catalog; "catalog:NAME" where a file has that name). It may be qcow2, raw, VMDK, VDI,
VHD or VHDX, and packed by gzip, xz or zstd. It is copied and not changed. It is refused if qemu-img finds it damaged, if it needs
other files, or if the pool (or $TMPDIR, for what is converted or unpacked) has no room for it. Nothing that must be unique, such
as a machine id, may be baked in: of an ext4 file system import looks, and warns. For "ready_when: agent" the guest needs
qemu-guest-agent; otherwise use lease or uptime.

NAME may end in a version: web:3, or web:next for the number after the newest there is.

What is fetched is kept in the cache folder, and fetched again only when it has changed; what was cut off goes on where it
ended.`),
		Example: "  vmscaler template import web disk.qcow2\n" +
			"  vmscaler template import web debian-12\n" +
			"  vmscaler template import web:next disk.qcow2\n" +
			"  vmscaler template import web disk.vmdk.xz --sha256 5b3c...\n" +
			"  vmscaler template import web https://example.org/a/disk.img --checksums https://example.org/a/SHA256SUMS",
		Args: exactArgs(2),
		RunE: checked(c.validate, c.run),
	}
	f := cmd.Flags()
	f.StringVar(&c.sha256, "sha256", "", "the SHA-256 that the file must have as it is published, in hexadecimal digits")
	f.StringVar(&c.sha512, "sha512", "", "the SHA-512 that it must have")
	f.StringVar(&c.checksums, "checksums", "", "a URL or a file with a list of checksums that has one of it, as SHA256SUMS")
	f.BoolVar(&c.insecure, "insecure", false, "fetch it by http although nobody knows its checksum")
	f.StringVar(&c.cache, "cache", "", "the folder for what is fetched (default ~/.cache/vmscaler/images)")
	f.StringArrayVar(&c.catalogs, "catalog", nil, "a YAML file with more images; may be given several times")
	return cmd
}

func (c *templateImportCmd) validate(args []string) (err error) {
	c.name, c.source = args[0], args[1]
	if c.sha256 != "" {
		if c.given, err = checksum.Parse(c.sha256, 256); err != nil {
			return usageError{fmt.Errorf("--sha256: %w", err)}
		}
	}
	if c.sha512 != "" {
		long, err := checksum.Parse(c.sha512, 512)
		if err != nil {
			return usageError{fmt.Errorf("--sha512: %w", err)}
		}
		c.given.SHA512 = long.SHA512
	}
	return checkNewTemplate(c.name)
}

func (c *templateImportCmd) run(cmd *cobra.Command) error {
	images, err := loadCatalog(c.catalogs)
	if err != nil {
		return err
	}
	source, err := resolveSource(c.source, isThere, images, runtime.GOARCH)
	if err != nil {
		return err
	}
	if c.checksums != "" {
		source.checksums = c.checksums
	}
	return c.g.withPool(cmd, func(hv *libvirtHost, to template.Target) error {
		if _, err := host.EnsurePool(hv.conn, to.Pool, hv.uri); err != nil {
			return err
		}
		if c.name, err = template.NewName(hv.conn, to.Pool, c.name); err != nil {
			return err
		}
		to.Name = c.name
		if err := template.CheckNew(hv.conn, to); err != nil { // before anything is fetched
			return err
		}
		w := &importWatch{out: cmd.OutOrStdout(), name: c.name, bars: newBars(cmd.OutOrStdout())}
		image, err := c.get(cmd.Context(), source, w)
		if err != nil {
			return err
		}
		info, err := template.Import(cmd.Context(), hv.conn, to, image, template.Report{
			Step: w.say, Progress: w.bars.show, Warn: func(what string) { w.say("warning: " + what) },
		})
		if err != nil {
			return err
		}
		if unfit := info.Firmware.Unfit(false); unfit != "" {
			w.say("it " + unfit)
		}
		w.about(source)
		fmt.Fprintf(w.out, "template %s is there; use it with \"template: %s\"\n", c.name, c.name)
		return nil
	})
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// get fetches what is not a file here, and finds out which digests the image must have.
func (c *templateImportCmd) get(ctx context.Context, source imageSource, w *importWatch) (template.Image, error) {
	var get *fetch.Fetcher
	if source.url != "" || fetch.IsURL(source.checksums) {
		dir, err := imageCache(c.cache)
		if err != nil {
			return template.Image{}, err
		}
		get, err = fetch.New(fetch.Config{
			Dir: dir, Insecure: c.insecure, Say: w.say,
			Progress: func(done, total int64) { w.bars.show("fetching", done, total) },
		})
		if err != nil {
			return template.Image{}, err
		}
	}
	want, err := source.digests(ctx, c.given, get)
	if err != nil {
		return template.Image{}, err
	}
	image := template.Image{File: source.file, Digests: want}
	if source.url == "" {
		return image, nil
	}
	file, err := get.File(ctx, source.url, want)
	if err != nil {
		return template.Image{}, err
	}
	switch {
	case file.Cached && want.Any(): // no server was asked
		w.say(file.URL + " is in the cache, and has the checksum: " + file.Path)
	case file.Cached:
		w.say("it has not changed since it was fetched to " + file.Path)
	}
	image.File, image.Source = file.Path, file.URL
	return image, nil
}

// importWatch tells a person how an import goes.
type importWatch struct {
	out  io.Writer
	name string
	bars *bars
}

func (w *importWatch) say(what string) {
	w.bars.end()
	fmt.Fprintf(w.out, "template %s: %s\n", w.name, what)
}

// about reports what the catalog knows of an image that matters for its VMs.
func (w *importWatch) about(source imageSource) {
	if source.image == nil {
		return
	}
	if source.image.User != "" {
		w.say("cloud-init makes the user " + source.image.User)
	}
	if source.image.Agent == "no" {
		w.say("it has no guest agent: a group of it needs ready_when: lease or uptime, or installs qemu-guest-agent by its cloud_init")
	}
	if source.image.Notes != "" {
		w.say(source.image.Notes)
	}
}
