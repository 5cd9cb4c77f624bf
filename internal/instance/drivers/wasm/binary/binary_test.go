package binary

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// sec is a section, its length in one byte.
func sec(id byte, body string) string { return string([]byte{id, byte(len(body))}) + body }

const magic = "\x00asm\x01\x00\x00\x00"

// sample is a module with a function (body), a memory, two globals of which the second can change, and a data segment "hello" at 16.
func sample(body string) string {
	return magic + sec(secType, "\x01\x60\x00\x00") + sec(secFunction, "\x01\x00") + sec(secTable, "\x01\x70\x00\x01") + sec(secMemory, "\x01\x00\x01") +
		sec(secGlobal, "\x02\x7f\x00\x41\x07\x0b\x7e\x01\x42\x7f\x0b") + sec(secExport, "\x01\x01f\x00\x00") +
		sec(secCode, "\x01"+string([]byte{byte(len(body) + 1)})+"\x00"+body) + sec(secData, "\x02\x00\x41\x10\x0b\x05hello\x01\x03raw")
}

func TestRewrite(t *testing.T) {
	m, err := Rewrite([]byte(sample("\x0b")))
	if err != nil {
		t.Fatal(err)
	}
	if !m.Restorable || !slices.Equal(m.Globals, []string{"ofn:global:1"}) {
		t.Errorf("Restorable = %v, Globals = %v", m.Restorable, m.Globals)
	}
	if len(m.Memory) != 1 || m.Memory[0].Offset != 16 || string(m.Memory[0].Data) != "hello" {
		t.Errorf("Memory = %v", m.Memory)
	}
	again, err := Rewrite(m.Code)
	if err != nil || len(again.Memory) != 0 {
		t.Errorf("rewriting what was rewritten finds the segments %v, %v", again, err)
	}
}

func TestRestorable(t *testing.T) {
	for name, c := range map[string]struct {
		module string
		want   bool
	}{
		"arithmetic":          {sample("\x41\x01\x41\x02\x6a\x1a\x0b"), true},
		"memory.fill":         {sample("\x41\x00\x41\x00\x41\x00\xfc\x0b\x00\x0b"), true},
		"call_indirect":       {sample("\x41\x00\x11\x00\x00\x0b"), true},
		"vector":              {sample("\xfd\x0c0123456789abcdef\x1a\x0b"), true},
		"table.get":           {sample("\x41\x00\x25\x00\x1a\x0b"), true},
		"a constant like one": {sample("\x41\x26\x1a\x0b"), true}, // 0x26 is table.set
		"table.set":           {sample("\x41\x00\xd0\x70\x26\x00\x0b"), false},
		"table.copy":          {sample("\x41\x00\x41\x00\x41\x00\xfc\x0e\x00\x00\x0b"), false},
		"table.grow":          {sample("\xd0\x70\x41\x01\xfc\x0f\x00\x1a\x0b"), false},
		"unknown":             {sample("\xff\x0b"), false},
		"start function":      {sample("\x0b") + sec(secStart, "\x00"), false},
		"mutable reference":   {magic + sec(secGlobal, "\x01\x70\x01\xd0\x70\x0b"), false},
		"imported table":      {magic + sec(secImport, "\x01\x01a\x01b\x01\x70\x00\x01"), false},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Rewrite([]byte(c.module))
			if err != nil {
				t.Fatal(err)
			}
			if m.Restorable != c.want {
				t.Errorf("Restorable = %v", m.Restorable)
			}
		})
	}
}

func TestUnsupported(t *testing.T) {
	for name, module := range map[string]string{
		"nothing": "", "not a module": "\x7fELF1234", "a component": "\x00asm\x0d\x00\x01\x00", "cut short": sample("\x0b")[:60],
		"computed place": magic + sec(secData, "\x01\x00\x23\x00\x0b\x01x"), "other memory": magic + sec(secData, "\x01\x02\x01\x41\x00\x0b\x01x"),
	} {
		if _, err := Rewrite([]byte(module)); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v, want ErrUnsupported", name, err)
		}
	}
}

func FuzzRewrite(f *testing.F) {
	f.Add([]byte(sample("\x0b")))
	f.Add([]byte(sample("\x41\x00\xd0\x70\x26\x00\x0b")))
	f.Add([]byte(magic + sec(secGlobal, "\x01\x70\x01\xd0\x70\x0b")))
	f.Fuzz(func(t *testing.T, module []byte) {
		if metered, err := Meter(module); err == nil {
			module = metered
		}
		m, err := Rewrite(module)
		if err != nil {
			return
		}
		again, err := Rewrite(m.Code)
		if err != nil {
			t.Fatalf("what was rewritten cannot be read: %v", err)
		}
		if len(again.Memory) != 0 {
			t.Fatalf("active segments remain: %v", again.Memory)
		}
	})
}

// TestMeter: what is added comes after all that there is, and is there once for each loop and each function that calls.
func TestMeter(t *testing.T) {
	for name, c := range map[string]struct {
		body  string
		steps int
	}{
		"nothing": {"\x0b", 0}, "loops": {"\x03\x40\x03\x40\x0b\x0b\x0b", 2}, "calls": {"\x10\x00\x10\x00\x0b", 1}, "a constant like a loop": {"\x41\x03\x1a\x0b", 0},
	} {
		t.Run(name, func(t *testing.T) {
			before := sample(c.body)
			after, err := Meter([]byte(before))
			if err != nil {
				t.Fatal(err)
			}
			m := &meter{}
			sections, err := split(after)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range sections {
				if err := m.count(s); err != nil {
					t.Fatal(err)
				}
			}
			if m.types != 2 || m.functions != 2 || m.globals != 4 {
				t.Errorf("%d types, %d functions, %d globals", m.types, m.functions, m.globals)
			}
			original := &meter{types: 1, functions: 1, globals: 2}
			if n := bytes.Count(after, original.step()); n != c.steps {
				t.Errorf("%d steps, want %d", n, c.steps)
			}
			if !bytes.Contains(after, []byte(StopGlobal)) {
				t.Error("it cannot be stopped")
			}
		})
	}
	if _, err := Meter([]byte(sample("\xff\x0b"))); !errors.Is(err, ErrUnsupported) {
		t.Errorf("an unknown instruction: %v", err)
	}
}
