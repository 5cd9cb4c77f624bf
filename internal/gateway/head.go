package gateway

import "bytes"

// maxFields bounds the lines of one head.
const maxFields = 256

var crlf = []byte("\r\n")

// field is one header line; the offsets count from the first byte of the head.
type field struct {
	name, nameEnd, value, valueEnd uint32
	id                             fieldID
}

// head parses the start line and header lines of a message, in as many steps as the bytes arrive in. It is strict: lines
// end with CR LF, names are tokens directly before the colon, nothing is folded, values have no control bytes but tabs.
type head struct {
	raw    []byte // the whole head, once complete
	start  span   // the start line
	fields []field
	line   int // where the line under way begins
	scan   int // up to where there is no line end
}

// span is a part of a head.
type span struct{ from, to int }

func (h *head) reset() {
	h.raw, h.start, h.line, h.scan = nil, span{}, 0, 0
	h.fields = h.fields[:0]
}

func (h *head) in(s span) []byte        { return h.raw[s.from:s.to] }
func (h *head) name(f *field) []byte    { return h.raw[f.name:f.nameEnd] }
func (h *head) content(f *field) []byte { return h.raw[f.value:f.valueEnd] }

// more continues with b, which begins with what it was given before. It is done when it has seen the empty line; the
// head is then b[:len(h.raw)].
func (h *head) more(b []byte) (done bool, err error) {
	for {
		i := bytes.IndexByte(b[h.scan:], '\n')
		if i < 0 {
			h.scan = len(b)
			return false, nil
		}
		end := h.scan + i
		if end == h.line || b[end-1] != '\r' {
			return false, errBareLF
		}
		from, to := h.line, end-1
		h.line, h.scan = end+1, end+1
		switch {
		case h.start.to == 0 && from == to:
			if from > 0 {
				return false, errStartLine
			}
			// One empty line before a message is the rest of an earlier one sent by an old client.
		case h.start.to == 0:
			h.start = span{from, to}
		case from == to:
			h.raw = b[:end+1]
			return true, nil
		default:
			if err := h.addField(b, from, to); err != nil {
				return false, err
			}
		}
	}
}

// addField checks the header line b[from:to].
func (h *head) addField(b []byte, from, to int) error {
	if len(h.fields) == maxFields {
		return errTooManyFields
	}
	colon := from
	for colon < to && tokenByte[b[colon]] {
		colon++
	}
	if colon == to || b[colon] != ':' || colon == from {
		if b[from] == ' ' || b[from] == '\t' {
			return errFolded
		}
		return errFieldName
	}
	value, end := colon+1, to
	for value < end && (b[value] == ' ' || b[value] == '\t') {
		value++
	}
	for end > value && (b[end-1] == ' ' || b[end-1] == '\t') {
		end--
	}
	for _, c := range b[value:end] {
		if c < ' ' && c != '\t' || c == 0x7f {
			return errFieldValue
		}
	}
	h.fields = append(h.fields, field{
		name: uint32(from), nameEnd: uint32(colon), value: uint32(value), valueEnd: uint32(end),
		id: identify(b[from:colon]),
	})
	return nil
}

// lookup finds the first field of a name, given in lower case.
func (h *head) lookup(name string) (string, bool) {
	for i := range h.fields {
		f := &h.fields[i]
		if equalFold(h.name(f), name) {
			return str(h.content(f)), true
		}
	}
	return "", false
}

// eachToken calls fn with each element of the comma-separated list v, in lower case letters or not as it came.
func eachToken(v []byte, fn func([]byte)) {
	for len(v) > 0 {
		var one []byte
		if i := bytes.IndexByte(v, ','); i >= 0 {
			one, v = v[:i], v[i+1:]
		} else {
			one, v = v, nil
		}
		if one = bytes.Trim(one, " \t"); len(one) > 0 {
			fn(one)
		}
	}
}
