package binary

import "fmt"

// reader takes a module apart. After its first error it returns zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrUnsupported, fmt.Sprintf(format, args...))
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("it ends too early")
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(r.b)) {
		r.fail("it ends too early")
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

// leb reads a number of at most bits bits; signed numbers are extended.
func (r *reader) leb(bits uint, signed bool) uint64 {
	var v uint64
	for shift := uint(0); shift < bits+6; shift += 7 {
		c := r.byte()
		v |= uint64(c&0x7f) << shift
		if c&0x80 == 0 {
			if signed && c&0x40 != 0 && shift+7 < 64 {
				v |= ^uint64(0) << (shift + 7)
			}
			return v
		}
	}
	r.fail("a number is too long")
	return 0
}

func (r *reader) u32() uint32 { return uint32(r.leb(32, false)) }

// imported skips an import and says of what kind it is.
func (r *reader) imported() byte {
	r.bytes(r.u32())
	r.bytes(r.u32())
	kind := r.byte()
	switch kind {
	case kindFunction:
		r.u32()
	case kindTable:
		r.byte()
		r.limits()
	case kindMemory:
		r.limits()
	case kindGlobal:
		r.byte()
		r.byte()
	case kindTag:
		r.byte()
		r.u32()
	default:
		r.fail("import of kind %d", kind)
	}
	return kind
}

// functionType skips a type, which must be that of a function.
func (r *reader) functionType() {
	if t := r.byte(); t != typeFunc {
		r.fail("type %#x", t)
	}
	for range 2 { // parameters, results
		for range r.u32() {
			r.valueType()
			if r.err != nil {
				return
			}
		}
	}
}

func (r *reader) limits() {
	flag := r.u32()
	r.leb(64, false)
	if flag&1 != 0 {
		r.leb(64, false)
	}
}

// expression skips a constant expression.
func (r *reader) expression() {
	for r.err == nil {
		switch op := r.byte(); op {
		case opEnd:
			return
		case 0x41:
			r.leb(32, true)
		case 0x42:
			r.leb(64, true)
		case 0x43:
			r.bytes(4)
		case 0x44:
			r.bytes(8)
		case 0x23, 0xd2:
			r.u32()
		case 0xd0:
			r.leb(33, true)
		case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e:
		case 0xfd:
			r.u32()
			r.bytes(16)
		default:
			r.fail("a constant expression has instruction %#x", op)
		}
	}
}

// offset reads an expression that says where a segment goes.
func (r *reader) offset() (at uint32, constant bool) {
	if len(r.b) > 0 && r.b[0] == 0x41 {
		rest := reader{b: r.b[1:]}
		at = uint32(rest.leb(32, true))
		if rest.byte() == opEnd && rest.err == nil {
			r.b = rest.b
			return at, true
		}
	}
	r.expression()
	return 0, false
}

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}
