// Package wire is what the driver and its worker processes say to each other. Every connection to a worker begins with a
// preamble that says whom it is for: the worker itself, which then speaks HTTP with the driver, or one of its copies, which then
// speaks with whoever calls the function.
package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
)

// preambleSize is the length of what a connection begins with: a name filled with zeros and, as its last byte, whether an answer
// is wanted.
const preambleSize = 65

// Control names the worker itself in a preamble.
const Control = ""

// The answers to a preamble.
const (
	accepted = '+'
	refused  = '-'
)

// ErrRefused says that a copy does not take connections: it is not there, or does not listen.
var ErrRefused = errors.New("nothing listens")

// Hello says whom a connection is for. Unless it is sure to be taken it waits for the answer; without one, a connection that is not
// taken is closed.
func Hello(c io.ReadWriter, id string, sure bool) error {
	var name [preambleSize]byte
	if copy(name[:preambleSize-1], id) < len(id) {
		return fmt.Errorf("name %q is too long", id)
	}
	if sure {
		name[preambleSize-1] = 1
	}
	if _, err := c.Write(name[:]); err != nil || sure {
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

// ReadHello reads whom a connection is for, and whether an answer is wanted.
func ReadHello(r io.Reader) (id string, answer bool, err error) {
	var name [preambleSize]byte
	if _, err := io.ReadFull(r, name[:]); err != nil {
		return "", false, err
	}
	b, _, _ := bytes.Cut(name[:preambleSize-1], []byte{0})
	return string(b), name[preambleSize-1] == 0, nil
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
	// PathCopies + id (PUT, a Start as JSON) makes a copy. The body of the answer is what the copy logs and lasts as long as it
	// does; TrailerExit then has an Exit as JSON. DELETE with ?grace= ends a copy, GET answers a Usage.
	PathCopies = "/copies/"

	HeaderInfo   = "Ofn-Info"
	HeaderLength = "Ofn-Module-Length" // of the module in a body of PathModules
	TrailerExit  = "Ofn-Exit"
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
	Module string   `json:"module"` // digest
	Args   []string `json:"args"`
	Env    []string `json:"env"`
	Files  []File   `json:"files,omitempty"`
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

// Failure is the body of an answer that is no success.
type Failure struct {
	Reason  string `json:"reason,omitempty"` // CamelCase; empty when the module is not to blame
	Message string `json:"message"`
}
