// Package binary rewrites WebAssembly modules so that their memory can be mapped instead of copied and their mutable globals can
// be set from outside: what a snapshot of an initialised module needs. It checks nothing; the engine validates the result.
package binary

import (
	"errors"
	"fmt"
	"strconv"
)

// PageSize is the unit of linear memory, in bytes.
const PageSize = 64 << 10

// globalPrefix begins the names under which mutable globals are exported additionally.
const globalPrefix = "ofn:global:"

// Sections of a module by number.
const (
	secCustom, secType, secImport, secFunction, secTable, secMemory      = 0, 1, 2, 3, 4, 5
	secGlobal, secExport, secStart, secElement, secCode, secData         = 6, 7, 8, 9, 10, 11
	secDataCount                                                         = 12
	kindFunction, kindTable, kindMemory, kindGlobal, kindTag        byte = 0, 1, 2, 3, 4
)

// ErrUnsupported is wrapped by Rewrite when a module has something that this package does not know. The module itself may be fine.
var ErrUnsupported = errors.New("the module cannot be rewritten")

// Segment is a piece of initial memory.
type Segment struct {
	Offset uint32
	Data   []byte // part of the module
}

// Module is a module rewritten.
type Module struct {
	// Code is the module: its active data segments are passive or gone, so that making an instance copies nothing, and its mutable
	// globals are exported.
	Code []byte
	// Memory is what the data segments were: the host puts it into memory before anything runs.
	Memory []Segment
	// Globals are the export names of all mutable globals.
	Globals []string
	// Restorable is whether memory and mutable globals are all that running code can change: there is no start function, no
	// global holds a reference and no instruction changes a table.
	Restorable bool
}

// section is one section of a module.
type section struct {
	id   byte
	body []byte
}

// Rewrite rewrites a module.
func Rewrite(wasm []byte) (m *Module, err error) {
	sections, err := split(wasm)
	if err != nil {
		return nil, err
	}
	w := &rewriter{m: &Module{Restorable: true}}
	for _, s := range sections {
		if err := w.read(s); err != nil {
			return nil, fmt.Errorf("section %d: %w", s.id, err)
		}
	}
	w.export(&sections)
	if !w.counted { // then no instruction names a segment, and making an instance need not even look at them
		w.data = appendU32(nil, 0)
	}
	w.m.Code = join(sections, w.data)
	return w.m, nil
}

// split finds the sections.
func split(wasm []byte) ([]section, error) {
	if len(wasm) < 8 || string(wasm[:8]) != "\x00asm\x01\x00\x00\x00" {
		return nil, fmt.Errorf("%w: it does not begin like a module of version 1", ErrUnsupported)
	}
	var all []section
	for r := (reader{b: wasm[8:]}); len(r.b) > 0; {
		id := r.byte()
		body := r.bytes(r.u32())
		if r.err != nil {
			return nil, r.err
		}
		all = append(all, section{id, body})
	}
	return all, nil
}

// join puts a module together, with data in place of its data section.
func join(sections []section, data []byte) []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range sections {
		if s.id == secData {
			s.body = data
		}
		out = append(out, s.id)
		out = appendU32(out, uint32(len(s.body)))
		out = append(out, s.body...)
	}
	return out
}

// rewriter gathers what the sections say.
type rewriter struct {
	m        *Module
	imported uint32 // globals
	mutable  []uint32
	data     []byte
	counted  bool // the segments are: some instruction may use them
}

func (w *rewriter) read(s section) error {
	r := reader{b: s.body}
	switch s.id {
	case secImport:
		w.imports(&r)
	case secGlobal:
		w.globals(&r)
	case secStart:
		w.m.Restorable = false
	case secCode:
		changes, err := changesTables(s.body)
		if changes || err != nil { // an instruction that is not known may be one that changes a table
			w.m.Restorable = false
		}
	case secDataCount:
		w.counted = true
	case secData:
		w.segments(&r)
	}
	return r.err
}

func (w *rewriter) imports(r *reader) {
	for range r.u32() {
		switch r.imported() {
		case kindTable:
			w.m.Restorable = false
		case kindGlobal:
			w.imported++
		}
		if r.err != nil {
			return
		}
	}
}

func (w *rewriter) globals(r *reader) {
	n := r.u32()
	for i := uint32(0); i < n && r.err == nil; i++ {
		typ, mutable := r.byte(), r.byte()
		r.expression()
		switch {
		case mutable == 0:
		case typ >= 0x7c && typ <= 0x7f: // f64, f32, i64, i32
			w.mutable = append(w.mutable, w.imported+i)
		default:
			w.m.Restorable = false
		}
	}
}

// segments makes active segments at constant places passive.
func (w *rewriter) segments(r *reader) {
	n := r.u32()
	w.data = appendU32(nil, n)
	for range n {
		whole := r.b
		flag := r.u32()
		if flag == 2 && r.u32() != 0 || flag > 2 {
			r.fail("data segment of kind %d", flag)
		}
		var at uint32
		constant := true
		if flag != 1 {
			at, constant = r.offset()
		}
		data := r.bytes(r.u32())
		if r.err != nil {
			return
		}
		if flag == 1 {
			w.data = append(w.data, whole[:len(whole)-len(r.b)]...)
			continue
		}
		if !constant {
			r.fail("data segment at a place that is not constant")
			return
		}
		w.m.Memory = append(w.m.Memory, Segment{at, data})
		w.data = appendU32(append(w.data, 1), uint32(len(data)))
		w.data = append(w.data, data...)
	}
}

// export adds the mutable globals to the exports, making that section where there is none.
func (w *rewriter) export(sections *[]section) {
	at := -1
	for i, s := range *sections {
		if s.id == secExport {
			at = i
		}
	}
	if at < 0 || len(w.mutable) == 0 { // a module without exports is of no use to anybody
		return
	}
	r := reader{b: (*sections)[at].body}
	n := r.u32()
	body := appendU32(nil, n+uint32(len(w.mutable)))
	body = append(body, r.b...)
	for _, g := range w.mutable {
		name := globalPrefix + strconv.FormatUint(uint64(g), 10)
		w.m.Globals = append(w.m.Globals, name)
		body = append(appendU32(body, uint32(len(name))), name...)
		body = appendU32(append(body, kindGlobal), g)
	}
	(*sections)[at].body = body
}
