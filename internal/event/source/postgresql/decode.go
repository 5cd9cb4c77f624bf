package postgresql

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/source"
)

// change is one of a row, and the payload of its event.
type change struct {
	Operation string                     `json:"operation"` // insert, update, delete
	Schema    string                     `json:"schema"`
	Table     string                     `json:"table"`
	New       map[string]json.RawMessage `json:"new,omitempty"`
	Old       map[string]json.RawMessage `json:"old,omitempty"` // the replica identity: the key, unless the table says more
	Time      time.Time                  `json:"time"`          // of the commit
	XID       uint32                     `json:"xid"`
	LSN       string                     `json:"lsn"` // of the transaction
	number    int                        // in the transaction
	key       string                     // of the row
}

func (f *feed) event(c *change) (cloudevent.Event, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return cloudevent.Event{}, fmt.Errorf("writing a change of table %s: %w", c.Table, err)
	}
	e := f.id.Make(c.LSN+"/"+strconv.Itoa(c.number), "application/json", data, c.Time)
	e.Subject = c.Schema + "." + c.Table
	e.SetExtension("operation", c.Operation)
	e.SetExtension(cloudevent.PartitionKey, source.Hash(c.Schema, c.Table, c.key))
	if e.Validate() != nil {
		e.Subject = ""
	}
	return e, nil
}

// decoder reads the messages of PostgreSQL's output plugin pgoutput, protocol 1. The server describes a table before it tells
// of its first change, in every round anew.
type decoder struct {
	tables map[uint32]*table
	at     time.Time
	xid    uint32
	lsn    string
	number int
	ended  string // where the transaction that has just ended does; else ""
}

type table struct {
	schema, name string
	columns      []column
}

type column struct {
	name string
	oid  uint32
	key  bool
}

func newDecoder() *decoder { return &decoder{tables: map[uint32]*table{}} }

var errShort = errors.New("a message of the server ends too early")

// reader takes a message apart. What is missing is told by err in the end.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.b) {
		r.err = errShort
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) u8() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) u16() int {
	if p := r.take(2); p != nil {
		return int(binary.BigEndian.Uint16(p))
	}
	return 0
}

func (r *reader) u32() uint32 {
	if p := r.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if p := r.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

func (r *reader) text() string {
	for i, c := range r.b {
		if c == 0 {
			s := string(r.take(i))
			r.take(1)
			return s
		}
	}
	r.err = errShort
	return ""
}

// decode reads one message; nil is one that is no change of a row.
func (d *decoder) decode(b []byte) (*change, error) {
	r := &reader{b: b}
	d.ended = ""
	var c *change
	switch kind := r.u8(); kind {
	case 'B':
		d.lsn = lsn(r.u64())
		d.at = epoch.Add(time.Duration(int64(r.u64())) * time.Microsecond) //nolint:gosec // as the protocol has it
		d.xid, d.number = r.u32(), 0
	case 'C':
		r.u8()
		r.u64()
		d.ended = lsn(r.u64())
	case 'R':
		d.describe(r)
	case 'I', 'U', 'D':
		c = d.row(r, kind)
	}
	if r.err != nil {
		return nil, r.err
	}
	return c, nil
}

// epoch is where PostgreSQL's time begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func lsn(n uint64) string { return fmt.Sprintf("%X/%X", n>>32, n&0xffffffff) }

func (d *decoder) describe(r *reader) {
	id := r.u32()
	t := &table{schema: r.text(), name: r.text()}
	r.u8()
	for n := r.u16(); n > 0 && r.err == nil; n-- {
		flags := r.u8()
		c := column{name: r.text(), key: flags&1 != 0}
		c.oid = r.u32()
		r.u32()
		t.columns = append(t.columns, c)
	}
	if t.schema == "" {
		t.schema = "pg_catalog" // as the protocol has it
	}
	if r.err == nil {
		d.tables[id] = t
	}
}

func (d *decoder) row(r *reader, kind byte) *change {
	t := d.tables[r.u32()]
	if t == nil {
		r.err = errors.Join(r.err, errors.New("the server tells of a table that it did not describe"))
		return nil
	}
	d.number++
	c := &change{Schema: t.schema, Table: t.name, Time: d.at, XID: d.xid, LSN: d.lsn, number: d.number}
	c.Operation = map[byte]string{'I': "insert", 'U': "update", 'D': "delete"}[kind]
	part := r.u8()
	if part == 'K' || part == 'O' {
		c.Old, c.key = t.tuple(r, part == 'K')
		if kind == 'D' {
			return c
		}
		part = r.u8()
	}
	if part != 'N' {
		r.err = errors.Join(r.err, fmt.Errorf("unknown part %q of a change", part))
		return nil
	}
	var key string
	c.New, key = t.tuple(r, false)
	if c.key == "" {
		c.key = key
	}
	return c
}

// tuple reads a row; of the replica identity alone only the key is there. Values that did not change and are kept elsewhere by
// the server are left out.
func (t *table) tuple(r *reader, keyOnly bool) (row map[string]json.RawMessage, key string) {
	n := r.u16()
	if n > len(t.columns) {
		r.err = errShort
		return nil, ""
	}
	row = make(map[string]json.RawMessage, n)
	var keys []string
	for _, c := range t.columns[:n] {
		switch r.u8() {
		case 'n':
			if !keyOnly {
				row[c.name] = json.RawMessage("null")
			}
		case 't':
			text := string(r.take(int(r.u32())))
			row[c.name] = value(c.oid, text)
			if c.key {
				keys = append(keys, text)
			}
		case 'u':
		default:
			r.err = errShort
		}
	}
	return row, strings.Join(keys, "\x00")
}

// value is a column in JSON: booleans, numbers and JSON as they are, everything else as PostgreSQL writes it.
func value(oid uint32, text string) json.RawMessage {
	switch oid {
	case 16: // bool
		return json.RawMessage(strconv.FormatBool(text == "t"))
	case 20, 21, 23, 26, 700, 701, 1700, 114, 3802: // int8, int2, int4, oid, float4, float8, numeric, json, jsonb
		if json.Valid([]byte(text)) { // NaN is not
			return json.RawMessage(text)
		}
	}
	b, _ := json.Marshal(text) // of a string
	return b
}
