package console

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"

	"libvirt.org/go/libvirt"
)

// Bounds of a screenshot: a guest chooses how large its screen is.
const (
	mostPixels   = 4096 * 2304
	mostShot     = 3*mostPixels + 64 // bytes, as QEMU sends it
	mostPNG      = 2 << 20           // bytes, as it is kept
	shotMaxValue = 255
)

// ErrNoScreen means that a VM has no screen: none of vmscaler's has one, unless domain_xml gives it.
var ErrNoScreen = errors.New("it has no screen")

// Screenshot is what the screen of a running VM shows, as PNG. It waits for QEMU.
func Screenshot(conn *libvirt.Connect, dom *libvirt.Domain) ([]byte, error) {
	stream, err := conn.NewStream(0)
	if err != nil {
		return nil, fmt.Errorf("take a screenshot: %w", err)
	}
	defer func() { _ = stream.Free() }()
	if _, err := dom.Screenshot(stream, 0, 0); err != nil {
		if errors.Is(err, libvirt.ERR_OPERATION_UNSUPPORTED) || errors.Is(err, libvirt.ERR_NO_SUPPORT) ||
			errors.Is(err, libvirt.ERR_INVALID_ARG) || errors.Is(err, libvirt.ERR_OPERATION_INVALID) { // or it is off
			return nil, ErrNoScreen
		}
		return nil, fmt.Errorf("take a screenshot: %w", err)
	}
	shot, err := io.ReadAll(io.LimitReader(reader{stream}, mostShot+1))
	if err != nil || len(shot) > mostShot {
		_ = stream.Abort()
	} else {
		err = stream.Finish()
	}
	if err != nil {
		return nil, fmt.Errorf("take a screenshot: %w", err)
	}
	return pngOf(shot)
}

// reader reads a stream that blocks.
type reader struct{ stream *libvirt.Stream }

func (r reader) Read(buf []byte) (int, error) {
	n, err := r.stream.Recv(buf)
	if err == nil && n == 0 {
		err = io.EOF
	}
	return n, err
}

// pngOf is a picture as PNG. QEMU sends PPM, or PNG where it was built with that.
func pngOf(shot []byte) ([]byte, error) {
	picture := image.Image(nil)
	var err error
	if bytes.HasPrefix(shot, []byte("P6")) {
		picture, err = readPPM(shot)
	} else {
		var c image.Config
		if c, err = png.DecodeConfig(bytes.NewReader(shot)); err == nil {
			if err = checkSize(c.Width, c.Height); err == nil {
				picture, err = png.Decode(bytes.NewReader(shot))
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the screenshot: %w", err)
	}
	var out bytes.Buffer
	if err := png.Encode(&out, picture); err != nil {
		return nil, fmt.Errorf("write the screenshot: %w", err)
	}
	if out.Len() > mostPNG {
		return nil, fmt.Errorf("the screenshot has %d bytes, %d are kept at most", out.Len(), mostPNG)
	}
	return out.Bytes(), nil
}

func checkSize(width, height int) error {
	if width < 1 || height < 1 || width > mostPixels || height > mostPixels || width*height > mostPixels {
		return fmt.Errorf("found %d x %d pixels, want 1 to %d in all", width, height, mostPixels)
	}
	return nil
}

// readPPM reads a picture in binary PPM with 8 bits a color.
func readPPM(data []byte) (image.Image, error) {
	var width, height, most int
	in := bytes.NewReader(data)
	if _, err := fmt.Fscanf(in, "P6\n%d %d\n%d", &width, &height, &most); err != nil {
		return nil, fmt.Errorf("its header: %w", err)
	}
	if err := checkSize(width, height); err != nil {
		return nil, err
	}
	_, _ = in.ReadByte() // the one after the header
	if most != shotMaxValue || in.Len() != 3*width*height {
		return nil, fmt.Errorf("found %d bytes and a maximum of %d, want %d and %d", in.Len(), most, 3*width*height, shotMaxValue)
	}
	pixels := data[len(data)-in.Len():]
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range width * height {
		picture.SetRGBA(i%width, i/width, color.RGBA{pixels[3*i], pixels[3*i+1], pixels[3*i+2], shotMaxValue})
	}
	return picture, nil
}
