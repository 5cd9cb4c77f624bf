package bundle

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/openfunction/ofn/internal/image/unpack"
)

// Stage fills dir, which exists and is empty, with what a file holds that is given in place of a source directory: the content of a zip or tar
// archive, compressed or not, or the file itself when it is a Java archive or a program. An archive whose only entry is a directory is that
// directory. What would write anywhere else, or is too large, is refused with an *unpack.Error. It returns the directory that is the source.
func Stage(ctx context.Context, file, dir string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("reading the source: %w", err)
	}
	defer f.Close()
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the source: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("reading the source: %w", err)
	}
	switch kind := kindOf(file, head[:n]); kind {
	case zipArchive:
		err = unzip(ctx, f, dir)
	case tarArchive:
		err = untar(ctx, f, dir)
	case alone:
		return dir, copyInto(f, filepath.Join(dir, filepath.Base(file)))
	default:
		return "", fmt.Errorf("%s is neither a directory, an archive (zip, jar, tar, tar.gz, tar.zst) nor a program; a manifest is given with -f", file)
	}
	var bad *unpack.Error
	if errors.As(err, &bad) {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	if err != nil {
		return "", fmt.Errorf("unpacking %s: %w", file, err)
	}
	return lone(dir)
}

type kind int

const (
	unknown kind = iota
	zipArchive
	tarArchive
	alone
)

// kindOf tells by the first bytes what a file is; the name tells only archives that are programs from others.
func kindOf(name string, head []byte) kind {
	begins := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }
	switch ext := strings.ToLower(filepath.Ext(name)); {
	case begins("PK\x03\x04") && (ext == ".jar" || ext == ".war"):
		return alone
	case begins("PK\x03\x04"), begins("PK\x05\x06"):
		return zipArchive
	case begins("\x1f\x8b"), begins("\x28\xb5\x2f\xfd"), len(head) > 262 && string(head[257:262]) == "ustar":
		return tarArchive
	case begins("\x7fELF"), begins("#!"), begins("\x00asm"), begins("MZ"), begins("\xcf\xfa\xed\xfe"):
		return alone
	}
	return unknown
}

// limits are those of a source.
func limits() unpack.Limits { return unpack.Limits{Bytes: MaxBytes, Entries: maxEntries} }

func untar(ctx context.Context, f *os.File, dir string) error {
	plain, err := unpack.Decompress(f)
	if err != nil {
		return &unpack.Error{Problem: "it is damaged: " + err.Error()}
	}
	defer plain.Close()
	// The rest of a stream is read to its end, so that it must have one.
	_, err = unpack.Tar(ctx, dir, io.LimitReader(plain, 2*MaxBytes), unpack.Options{Limits: limits(), Source: true})
	return err
}

// unzip reads a zip archive as the tar archive it could be, so that the same is refused in both.
func unzip(ctx context.Context, f *os.File, dir string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	z, err := zip.NewReader(f, info.Size())
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return &unpack.Error{Problem: "it is not a zip archive, or damaged: " + err.Error()}
	}
	r, w := io.Pipe()
	written := make(chan struct{})
	go func() {
		defer close(written)
		w.CloseWithError(retar(z, w))
	}()
	_, err = unpack.Tar(ctx, dir, r, unpack.Options{Limits: limits(), Source: true})
	r.CloseWithError(err)
	<-written
	return err
}

func retar(z *zip.Reader, w io.Writer) error {
	tw := tar.NewWriter(w)
	for _, f := range z.File {
		if err := convert(tw, f); err != nil {
			return err
		}
	}
	return tw.Close()
}

// maxLink bounds the target of a link.
const maxLink = 4096

func convert(tw *tar.Writer, f *zip.File) error {
	mode := f.Mode()
	h := &tar.Header{Name: f.Name, Mode: int64(mode.Perm()), ModTime: f.Modified, Format: tar.FormatPAX}
	if f.UncompressedSize64 > 1<<62 {
		return &unpack.Error{Entry: f.Name, Problem: "has an impossible size"}
	}
	switch {
	case mode.IsDir() || strings.HasSuffix(f.Name, "/"):
		h.Typeflag, h.Mode = tar.TypeDir, 0o755
		return tw.WriteHeader(h)
	case mode.IsRegular():
		h.Typeflag, h.Size = tar.TypeReg, int64(f.UncompressedSize64)
	case mode&os.ModeSymlink != 0 && f.UncompressedSize64 < maxLink:
		h.Typeflag = tar.TypeSymlink
	default:
		return &unpack.Error{Entry: f.Name, Problem: "is neither a file, a directory nor a link"}
	}
	body, err := f.Open()
	if err != nil {
		return &unpack.Error{Entry: f.Name, Problem: "cannot be read: " + err.Error()}
	}
	defer body.Close()
	if h.Typeflag == tar.TypeSymlink {
		target, err := io.ReadAll(io.LimitReader(body, maxLink))
		if err != nil {
			return &unpack.Error{Entry: f.Name, Problem: "cannot be read: " + err.Error()}
		}
		h.Linkname = string(target)
		return tw.WriteHeader(h)
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if _, err := io.Copy(tw, body); err != nil {
		if errors.Is(err, io.ErrClosedPipe) {
			return err
		}
		return &unpack.Error{Entry: f.Name, Problem: "cannot be read: " + err.Error()}
	}
	return nil
}

// lone is the only directory of dir, when there is nothing else in it: archives of repositories are made so.
func lone(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("reading what was unpacked: %w", err)
	}
	if len(entries) == 1 && entries[0].IsDir() {
		return path.Join(dir, entries[0].Name()), nil
	}
	return dir, nil
}

func copyInto(f *os.File, to string) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("reading the source: %w", err)
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm()|0o600)
	if err != nil {
		return fmt.Errorf("copying the source: %w", err)
	}
	_, err = io.Copy(out, f)
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copying the source: %w", err)
	}
	return nil
}
