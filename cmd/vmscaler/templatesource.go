package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vmscaler/vmscaler/actuator/template/catalog"
	"github.com/vmscaler/vmscaler/actuator/template/checksum"
	"github.com/vmscaler/vmscaler/actuator/template/fetch"
)

// imageSource is where an image is had from: a file here, or an address.
type imageSource struct {
	file      string
	url       string
	checksums string         // an address, or a file; "" is none
	image     *catalog.Image // the one of the catalog; nil: it is of none
}

// catalogPrefix names an image of the catalog where a file has its name.
const catalogPrefix = "catalog:"

// resolveSource reports what a person means: an address, a file, or the name of an image in the catalog.
func resolveSource(text string, isFile func(string) bool, images []catalog.Image, arch string) (imageSource, error) {
	name, named := strings.CutPrefix(text, catalogPrefix)
	switch {
	case named:
	case fetch.IsURL(text):
		return imageSource{url: text}, nil
	case isFile(text):
		return imageSource{file: text}, nil
	}
	image := catalog.Find(images, name)
	if image == nil {
		found := "no such file, and no such image in the catalog"
		if named {
			found = "no such image in the catalog"
		}
		return imageSource{}, fmt.Errorf("%s: %s; it has %s", text, found, catalog.Names(images))
	}
	url, checksums, err := image.For(arch)
	if err != nil {
		return imageSource{}, err
	}
	return imageSource{url: url, checksums: checksums, image: image}, nil
}

// baseName is the name by which a list of checksums knows the image.
func (s imageSource) baseName() string {
	if s.url != "" {
		return fetch.BaseName(s.url)
	}
	return filepath.Base(s.file)
}

// digests adds to those that a person gave those of the source's list.
func (s imageSource) digests(ctx context.Context, given checksum.Digests, get *fetch.Fetcher) (checksum.Digests, error) {
	if s.checksums == "" {
		return given, nil
	}
	var list []byte
	var err error
	if fetch.IsURL(s.checksums) {
		list, err = get.Text(ctx, s.checksums)
	} else {
		list, err = readBounded(s.checksums)
	}
	if err != nil {
		return given, fmt.Errorf("read the checksums: %w", err)
	}
	called := s.checksums
	if fetch.IsURL(called) {
		called = fetch.Public(called)
	}
	found, err := checksum.Find(list, s.baseName(), called)
	if err != nil {
		return given, err
	}
	all, err := given.Merge(found)
	if err != nil {
		return given, fmt.Errorf("%s and the command line: %w", called, err)
	}
	return all, nil
}

// readBounded reads a list of checksums that is a file.
func readBounded(path string) ([]byte, error) {
	const most = 1 << 20
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(text) > most {
		err = fmt.Errorf("%s: found over %d bytes, want a list of checksums of at most that", path, most)
	}
	return text, err
}

// imageCache is where what is fetched is kept: the folder that a person names, else one of the user's own.
func imageCache(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w; name one with --cache", err)
	}
	return filepath.Join(dir, "vmscaler", "images"), nil
}

// loadCatalog reads the built-in images, those of the user's own list, and those of files.
func loadCatalog(files []string) ([]catalog.Image, error) {
	if dir, err := os.UserConfigDir(); err == nil {
		own := filepath.Join(dir, "vmscaler", "images.yaml")
		if _, err := os.Stat(own); !errors.Is(err, fs.ErrNotExist) {
			files = append([]string{own}, files...)
		}
	}
	return catalog.Load(files...)
}
