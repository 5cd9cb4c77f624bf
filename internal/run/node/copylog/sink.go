package copylog

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// stamp is the layout of the time before each line; its texts sort like its times.
const stamp = "2006-01-02T15:04:05.000000000Z"

// maxLine is the length after which a line is broken, in bytes.
const maxLine = 16 << 10

// sink is the log of one living copy.
type sink struct {
	store *Store
	from  source
	path  string

	mu        sync.Mutex
	file      *os.File
	size      int64
	partial   []byte // a line without its end yet
	broken    bool   // storing failed; said once
	done      bool
	followers []*follower
}

// Write stores whole lines, each with the time it was finished, and keeps the rest for later. It never fails.
func (k *sink) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.done {
		return len(p), nil
	}
	n, now := len(p), time.Now().UTC().Format(stamp)
	var out []byte
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		whole := end >= 0
		if !whole {
			end = len(p)
		}
		if room := maxLine - len(k.partial); end > room {
			end, whole = room, true
			k.partial, p = append(k.partial, p[:end]...), p[end:]
		} else {
			k.partial, p = append(k.partial, p[:end]...), p[min(end+1, len(p)):]
		}
		if whole {
			out = k.line(out, now)
		}
	}
	k.save(out)
	return n, nil
}

// line moves the partial line, finished, to out and tells the followers.
func (k *sink) line(out []byte, now string) []byte {
	begin := len(out)
	out = append(append(append(out, now...), ' '), k.partial...)
	out = append(out, '\n')
	k.partial = k.partial[:0]
	for _, f := range k.followers {
		f.send(k.from.copy, out[begin:])
	}
	return out
}

// Close ends the log. A line without an end is stored as it is.
func (k *sink) Close() error {
	k.mu.Lock()
	if k.done {
		k.mu.Unlock()
		return nil
	}
	if len(k.partial) > 0 {
		k.save(k.line(nil, time.Now().UTC().Format(stamp)))
	}
	k.done, k.followers = true, nil
	if k.file != nil {
		k.file.Close()
	}
	k.mu.Unlock()
	k.store.closed(k)
	return nil
}

// save writes finished lines to the file, which it makes and rotates. Called with mu held.
func (k *sink) save(lines []byte) {
	if len(lines) == 0 || k.broken {
		return
	}
	err := k.open()
	if err == nil {
		_, err = k.file.Write(lines)
		k.size += int64(len(lines))
	}
	if err != nil {
		k.broken = true
		k.store.opt.Log.Error("the output of a copy is not stored any more", "copy", k.from.copy, "error", err)
	}
}

// open makes the file before the first write and begins a new one when it is full.
func (k *sink) open() error {
	if k.file != nil && k.size < k.store.opt.MaxSize {
		return nil
	}
	if k.file == nil {
		if err := os.MkdirAll(filepath.Dir(k.path), 0o750); err != nil {
			return err
		}
	} else {
		k.file.Close()
		if err := os.Rename(k.path, strings.TrimSuffix(k.path, suffix)+rotated); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(k.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	k.file, k.size = f, info.Size()
	return nil
}
