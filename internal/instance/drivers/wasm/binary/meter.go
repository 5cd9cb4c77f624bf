package binary

import (
	"fmt"
	"slices"
	"strings"
)

// StopGlobal is the export name of the global that Meter adds: one that is not 0 makes the instance trap soon.
const StopGlobal = "ofn:stop"

// burst is how many times an instance goes round loops and into functions before it looks up: often enough that one that is to end, and
// a garbage collector that waits for it, see it within a millisecond; seldom enough to cost nothing.
const burst = 10_000

// Instructions and types as they are encoded.
const (
	opUnreachable, opLoop, opIf, opCall, opDrop          byte = 0x00, 0x03, 0x04, 0x10, 0x1a
	opGlobalGet, opGlobalSet, opMemoryGrow, opI32Const   byte = 0x23, 0x24, 0x40, 0x41
	opI32LtS, opI32Sub, typeNone, typeI32, typeFunc, mut byte = 0x48, 0x6b, 0x40, 0x7f, 0x60, 1
)

// Meter rewrites a module so that it can be stopped: each way round a loop, and each call of a function that calls others, counts down;
// at the end of the count the module calls the engine, which may let others run meanwhile, and looks whether it is to stop. Engines can
// have that built in, but look every time, which makes some programs ten times slower.
func Meter(wasm []byte) ([]byte, error) {
	sections, err := split(wasm)
	if err != nil {
		return nil, err
	}
	sections = slices.DeleteFunc(sections, debugging)
	m := &meter{}
	for _, s := range sections {
		if err := m.count(s); err != nil {
			return nil, fmt.Errorf("section %d: %w", s.id, err)
		}
	}
	if !m.memory || !slices.ContainsFunc(sections, func(s section) bool { return s.id == secCode }) {
		return wasm, nil // nothing in it can run, or the platform refuses it
	}
	if m.defined == 0 { // there was no section of globals
		sections = insertGlobals(sections)
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range sections {
		body, err := m.change(s)
		if err != nil {
			return nil, fmt.Errorf("section %d: %w", s.id, err)
		}
		out = appendU32(append(out, s.id), uint32(len(body)))
		out = append(out, body...)
	}
	return out, nil
}

// debugging is whether a section is about places in the code, which will not be right any more.
func debugging(s section) bool {
	r := reader{b: s.body}
	return s.id == secCustom && strings.HasPrefix(string(r.bytes(r.u32())), ".debug_")
}

// insertGlobals makes an empty section of globals where it belongs.
func insertGlobals(all []section) []section {
	if slices.ContainsFunc(all, func(s section) bool { return s.id == secGlobal }) {
		return all
	}
	at := slices.IndexFunc(all, func(s section) bool { return s.id >= secExport && s.id <= secDataCount })
	return slices.Insert(all, at, section{secGlobal, []byte{0}})
}

// meter knows the numbers of what it adds: each comes after all that there is of its kind.
type meter struct {
	types, functions, globals uint32
	defined                   uint32 // globals that are not imported
	memory                    bool
}

// The globals that are added, by what they come after.
func (m *meter) left() uint32 { return m.globals }
func (m *meter) stop() uint32 { return m.globals + 1 }

// count reads how much there is of each kind.
func (m *meter) count(s section) error {
	r := reader{b: s.body}
	switch s.id {
	case secType:
		m.types = r.u32()
		for i := uint32(0); i < m.types && r.err == nil; i++ {
			r.functionType()
		}
	case secImport:
		m.imports(&r)
	case secFunction:
		m.functions += r.u32()
	case secMemory:
		m.memory = r.u32() > 0
	case secGlobal:
		m.defined = r.u32()
		m.globals += m.defined
	}
	return r.err
}

func (m *meter) imports(r *reader) {
	for range r.u32() {
		switch r.imported() {
		case kindFunction:
			m.functions++
		case kindGlobal:
			m.globals++
		}
		if r.err != nil {
			return
		}
	}
}

// change is a section with what is added to it.
func (m *meter) change(s section) ([]byte, error) {
	switch s.id {
	case secType:
		return extend(s.body, 1, typeFunc, 0, 0)
	case secFunction:
		return extend(s.body, 1, appendU32(nil, m.types)...)
	case secGlobal:
		count := append(appendS32([]byte{typeI32, mut, opI32Const}, burst), opEnd)
		return extend(s.body, 2, append(count, typeI32, mut, opI32Const, 0, opEnd)...)
	case secExport:
		name := append(appendU32(nil, uint32(len(StopGlobal))), StopGlobal...)
		return extend(s.body, 1, appendU32(append(name, kindGlobal), m.stop())...)
	case secCode:
		body, err := m.code(s.body)
		if err != nil {
			return nil, err
		}
		look := m.look()
		return extend(body, 1, append(appendU32(nil, uint32(len(look))), look...)...)
	}
	return s.body, nil
}

// extend adds n items to a list that begins with its length.
func extend(list []byte, n uint32, items ...byte) ([]byte, error) {
	r := reader{b: list}
	have := r.u32()
	out := appendU32(nil, have+n)
	return append(append(out, r.b...), items...), r.err
}

// look is the body of the function that is called at the end of a count: it asks the engine for no more memory, which does nothing but
// leave the module's code for a moment, traps when it is to stop, and begins another count.
func (m *meter) look() []byte {
	b := []byte{0, opI32Const, 0, opMemoryGrow, 0, opDrop, opGlobalGet}
	b = append(appendU32(b, m.stop()), opIf, typeNone, opUnreachable, opEnd, opI32Const)
	b = append(appendS32(b, burst), opGlobalSet)
	return append(appendU32(b, m.left()), opEnd)
}

// step counts down, and calls look at the end.
func (m *meter) step() []byte {
	b := appendU32([]byte{opGlobalGet}, m.left())
	b = appendU32(append(b, opI32Const, 1, opI32Sub, opGlobalSet), m.left())
	b = appendU32(append(b, opGlobalGet), m.left())
	b = append(b, opI32Const, 0, opI32LtS, opIf, typeNone, opCall)
	return append(appendU32(b, m.functions), opEnd)
}

// code puts steps into all functions.
func (m *meter) code(body []byte) ([]byte, error) {
	r := reader{b: body}
	n := r.u32()
	out := appendU32(make([]byte, 0, 2*len(body)), n)
	step := m.step()
	var one []byte
	for range n {
		f := r.bytes(r.u32())
		if r.err != nil {
			return nil, r.err
		}
		var err error
		if one, err = metered(one[:0], f, step); err != nil {
			return nil, err
		}
		out = append(appendU32(out, uint32(len(one))), one...)
	}
	return out, r.err
}

// metered appends a function to out, with steps at the heads of its loops and, when it calls functions, at its beginning.
func metered(out, function, step []byte) ([]byte, error) {
	r := reader{b: function}
	for range r.u32() { // locals
		r.u32()
		r.valueType()
		if r.err != nil {
			return nil, r.err
		}
	}
	begin := len(function) - len(r.b)
	var loops []int
	calls := false
	for len(r.b) > 0 && r.err == nil {
		op := r.b[0]
		r.instruction()
		calls = calls || op >= opCall && op <= 0x13
		if op == opLoop {
			loops = append(loops, len(function)-len(r.b))
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	out = append(out, function[:begin]...)
	if calls {
		out = append(out, step...)
	}
	for _, at := range loops {
		out = append(append(out, function[begin:at]...), step...)
		begin = at
	}
	return append(out, function[begin:]...), nil
}

// appendS32 appends a signed number.
func appendS32(b []byte, v int32) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
