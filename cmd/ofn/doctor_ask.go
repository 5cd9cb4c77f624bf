package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/cli/connect"
	"github.com/openfunction/ofn/internal/doctor"
)

// reach asks a server for its head. Its date tells the time there, within a second.
func reach(ctx context.Context, address string) (doctor.Remote, []doctor.Clock) {
	remote := doctor.Remote{URL: address}
	if u, err := url.Parse(address); err == nil {
		remote.URL = u.Redacted() // a proxy's password is nobody's business
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		remote.Err = err
		return remote, nil
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) { // which would say the address again
			err = wrapped.Err
		}
		remote.Err = err
		return remote, nil
	}
	response.Body.Close()
	there, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return remote, nil
	}
	return remote, []doctor.Clock{{Of: request.URL.Host, Ahead: time.Since(there)}}
}

func lookUp(ctx context.Context, name string) doctor.Lookup {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	l := doctor.Lookup{Name: name, Err: err, Loopback: len(found) > 0}
	for _, a := range found {
		l.Loopback = l.Loopback && a.Unmap().IsLoopback()
	}
	return l
}

func apiUnknown(err error) doctor.API {
	if errors.Is(err, connect.ErrNone) {
		return doctor.API{}
	}
	return doctor.API{Err: err}
}

// runningAs is the process that holds the data directory's lock.
func runningAs(dir string) int {
	f, err := os.Open(filepath.Join(dir, "ofn.pid"))
	if err != nil {
		return 0
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil {
		return 0
	}
	text := make([]byte, 32)
	n, _ := f.Read(text) // no number is no process
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	return pid
}

// directory looks at the data directory, or where it would be made.
func directory(dir string) doctor.Directory {
	d := doctor.Directory{Path: dir}
	at := dir
	for {
		_, err := os.Stat(at)
		if !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			break
		}
		at = filepath.Dir(at)
	}
	if err := unix.Access(at, unix.W_OK|unix.X_OK); err != nil {
		d.Err = &fs.PathError{Op: "writing", Path: at, Err: err}
		return d
	}
	var s unix.Statfs_t
	if err := unix.Statfs(at, &s); err != nil {
		d.Err = &fs.PathError{Op: "measuring", Path: at, Err: err}
		return d
	}
	d.FreeBytes = uint64(s.Bavail) * uint64(s.Bsize)       //nolint:unconvert // the types differ between systems
	d.FreeFiles, d.FilesSet = uint64(s.Ffree), s.Files > 0 //nolint:unconvert // its type differs between systems
	return d
}
