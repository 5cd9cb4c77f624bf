package binary

const opEnd = 0x0b

// changesTables looks through a code section for instructions that change a table. An error means that there was an instruction
// it does not know.
func changesTables(body []byte) (bool, error) {
	r := reader{b: body}
	for range r.u32() {
		f := reader{b: r.bytes(r.u32())}
		for range f.u32() { // locals
			f.u32()
			f.valueType()
		}
		for len(f.b) > 0 && f.err == nil {
			if f.instruction() {
				return true, nil
			}
		}
		if f.err != nil {
			return false, f.err
		}
		if r.err != nil {
			return false, r.err
		}
	}
	return false, r.err
}

func (r *reader) valueType() {
	if t := r.byte(); t == 0x63 || t == 0x64 { // a reference to a type
		r.leb(33, true)
	}
}

// instruction skips one instruction and says whether it changes a table.
func (r *reader) instruction() (changes bool) {
	switch op := r.byte(); {
	case op == 0x02 || op == 0x03 || op == 0x04: // block, loop, if: a type
		r.leb(33, true)
	case op == 0x0c || op == 0x0d, op == 0x10 || op == 0x12, op >= 0x20 && op <= 0x25, op == 0xd0, op == 0xd2:
		r.leb(33, true) // one index
	case op == 0x0e: // br_table
		for range r.u32() {
			r.u32()
			if r.err != nil {
				return false
			}
		}
		r.u32()
	case op == 0x11 || op == 0x13: // call_indirect: type and table
		r.u32()
		r.u32()
	case op == 0x1c: // select with types
		for range r.u32() {
			r.valueType()
			if r.err != nil {
				return false
			}
		}
	case op == 0x26: // table.set
		return true
	case op >= 0x28 && op <= 0x3e:
		r.memoryArgument()
	case op == 0x3f || op == 0x40:
		r.byte()
	case op == 0x41:
		r.leb(32, true)
	case op == 0x42:
		r.leb(64, true)
	case op == 0x43:
		r.bytes(4)
	case op == 0x44:
		r.bytes(8)
	case op <= 0x01, op == 0x05, op == opEnd, op == 0x0f, op == 0x1a || op == 0x1b, op >= 0x45 && op <= 0xc4, op == 0xd1:
	case op == 0xfc:
		return r.miscellaneous()
	case op == 0xfd:
		r.vector()
	case op == 0xfe:
		if r.u32() == 3 { // fence
			r.byte()
		} else {
			r.memoryArgument()
		}
	default:
		r.fail("instruction %#x", op)
	}
	return false
}

func (r *reader) memoryArgument() {
	if r.u32()&0x40 != 0 { // the number of a memory follows
		r.u32()
	}
	r.leb(64, false)
}

func (r *reader) miscellaneous() (changes bool) {
	switch op := r.u32(); op {
	case 0, 1, 2, 3, 4, 5, 6, 7:
	case 8, 10: // memory.init, memory.copy
		r.u32()
		r.u32()
	case 9, 11, 13, 16: // data.drop, memory.fill, elem.drop, table.size
		r.u32()
	case 12, 14, 15, 17: // table.init, table.copy, table.grow, table.fill
		return true
	default:
		r.fail("instruction 0xfc %d", op)
	}
	return false
}

func (r *reader) vector() {
	switch op := r.u32(); {
	case op <= 11, op == 92 || op == 93:
		r.memoryArgument()
	case op == 12 || op == 13:
		r.bytes(16)
	case op >= 21 && op <= 34:
		r.byte()
	case op >= 84 && op <= 91:
		r.memoryArgument()
		r.byte()
	case op <= 0x113:
	default:
		r.fail("instruction 0xfd %d", op)
	}
}
