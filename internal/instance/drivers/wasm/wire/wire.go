// Package wire is what the driver and its worker processes say to each other. Every connection to a worker begins with a
// preamble that says what it is for: the worker itself, which then speaks HTTP with the driver; one of its copies, which then
// speaks with whoever calls the function; or the life of a new copy, which then goes on in frames until the copy has ended.
package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// preambleSize is the length of what a connection begins with: a name filled with zeros and, as its last byte, what it is for.
const preambleSize = 65

// Purpose is what a connection is for.
type Purpose byte

// The purposes.
const (
	// Ask is a call that wants to be told whether it is taken.
	Ask Purpose = iota
	// Call is a call that is sure to be taken; when it is not, it is closed.
	Call
	// Live makes a copy. A frame with a Start follows, now or later.
	Live
)

// Control names the worker itself in a preamble.
const Control = ""

// The answers to a preamble.
const (
	accepted = '+'
	refused  = '-'
)

// ErrRefused says that a copy does not take connections: it is not there, or does not listen.
var ErrRefused = errors.New("nothing listens")

// Hello says whom a connection is for. Unless it is sure to be taken it waits for the answer.
func Hello(c io.ReadWriter, id string, sure bool) error {
	purpose := Ask
	if sure {
		purpose = Call
	}
	name, err := Preamble(id, purpose)
	if err != nil {
		return err
	}
	if _, err := c.Write(name); err != nil || sure {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return err
	}
	if answer[0] != accepted {
		return ErrRefused
	}
	return nil
}

// Preamble is what a connection begins with.
func Preamble(id string, p Purpose) ([]byte, error) {
	name := make([]byte, preambleSize)
	if copy(name[:preambleSize-1], id) < len(id) {
		return nil, fmt.Errorf("name %q is too long", id)
	}
	name[preambleSize-1] = byte(p)
	return name, nil
}

// ReadHello reads whom a connection is for, and what.
func ReadHello(r io.Reader) (id string, p Purpose, err error) {
	var name [preambleSize]byte
	if _, err := io.ReadFull(r, name[:]); err != nil {
		return "", 0, err
	}
	b, _, _ := bytes.Cut(name[:preambleSize-1], []byte{0})
	return string(b), Purpose(name[preambleSize-1]), nil
}

// Answer answers a preamble.
func Answer(w io.Writer, accept bool) error {
	answer := [1]byte{refused}
	if accept {
		answer[0] = accepted
	}
	_, err := w.Write(answer[:])
	return err
}

// Paths of the worker's own interface.
const (
	// PathCompile (POST, a module) answers a Compiled as JSON in HeaderInfo and the compiled module as its body.
	PathCompile = "/compile"
	// PathModules + digest (PUT, a module followed by what PathCompile answered; HeaderInfo has its Compiled) makes a module known.
	PathModules = "/modules/"
	// PathCopies + id (GET) answers a Usage.
	PathCopies = "/copies/"

	HeaderInfo   = "Ofn-Info"
	HeaderLength = "Ofn-Module-Length" // of the module in a body of PathModules
)

// Compiled says what a compiled module is.
type Compiled struct {
	Kind string `json:"kind"`
	// File is the name of the compiled module in a cache directory.
	File string `json:"file"`
	// Min is the memory that an instance needs at least, in bytes.
	Min int64 `json:"min"`
}

// Start says what copy to make.
type Start struct {
	ID     string `json:"id"`     // of the copy
	Module string `json:"module"` // digest
	// Share is equal for copies whose instances are initialised to the same.
	Share string `json:"share"`
	// Sure leaves out the answer when the copy could be made: the driver does not wait for it.
	Sure  bool     `json:"sure,omitempty"`
	Args  []string `json:"args"`
	Env   []string `json:"env"`
	Files []File   `json:"files,omitempty"`
	// Early lets connections wait until the module listens, which are otherwise refused before.
	Early bool `json:"early,omitempty"`
	// Memory bounds all instances of the copy together, in bytes; 0 is what the worker has.
	Memory int64 `json:"memory"`
	// Timeout bounds one request; 0 is none.
	Timeout time.Duration `json:"timeout"`
	// Output bounds the body of one response, in bytes; 0 is none.
	Output int64 `json:"output"`
	// Log bounds what the copy logs in a second, in bytes; 0 is none.
	Log int64 `json:"log"`
}

// File is a file that a copy sees.
type File struct {
	Path string `json:"path"`
	Data []byte `json:"data"`
}

// Sharing makes Share of what instances are initialised with.
func (s *Start) Sharing() {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode([]any{s.Args, Lasting(s.Env), s.Files}) // a hash takes everything
	s.Share = hex.EncodeToString(h.Sum(nil))
}

// Lasting is the environment without what differs between copies of one function: the memory of a handler may come from another copy.
func Lasting(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		return strings.HasPrefix(kv, "HOSTNAME=") || strings.HasPrefix(kv, "POD_NAME=")
	})
}

// Exit is how a copy ended.
type Exit struct {
	Code        int    `json:"code"`
	Signal      string `json:"signal,omitempty"`
	OutOfMemory bool   `json:"outOfMemory,omitempty"`
}

// Usage is what a copy uses.
type Usage struct {
	Memory int64         `json:"memory"` // bytes
	CPU    time.Duration `json:"cpu"`    // time that it ran
}

// Failure says why something could not be done.
type Failure struct {
	Reason  string `json:"reason,omitempty"` // CamelCase; empty when the module is not to blame
	Message string `json:"message"`
}
