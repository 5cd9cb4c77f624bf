// Package opaque holds the parts of the API whose schema belongs to somebody else: a pod template, the rules of an
// HTTPRoute, the advanced section of KEDA, a Dapr component. They are kept as they were written, and read with a strict
// decoder by whoever needs them, so that the API imports no engine and its CRDs stay small.
package opaque

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	kjson "sigs.k8s.io/json"
)

// Object is a JSON object of any shape. It is kept in canonical form (keys sorted, no spaces, numbers as written), so
// that equal objects have equal bytes and can be compared and hashed.
//
// +kubebuilder:validation:Type=object
// +kubebuilder:pruning:PreserveUnknownFields
type Object struct {
	// raw is never changed in place; nil is the empty object.
	raw string `json:"-"`
}

// Of makes an Object from anything that marshals to a JSON object.
func Of(v any) (Object, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return Object{}, fmt.Errorf("encoding object: %w", err)
	}
	var o Object
	return o, o.UnmarshalJSON(data)
}

// MarshalJSON writes the object as it was read.
func (o Object) MarshalJSON() ([]byte, error) {
	if o.raw == "" {
		return []byte("{}"), nil
	}
	return []byte(o.raw), nil
}

// UnmarshalJSON accepts a JSON object and nothing else; null leaves the empty object.
func (o *Object) UnmarshalJSON(data []byte) error {
	v, err := canonical(data)
	if err != nil {
		return err
	}
	o.raw = ""
	switch v[0] {
	case '{':
		if v != "{}" {
			o.raw = v
		}
	case 'n':
	default:
		return fmt.Errorf("expected an object, got %s", kind(v))
	}
	return nil
}

// String is the canonical JSON.
func (o Object) String() string {
	if o.raw == "" {
		return "{}"
	}
	return o.raw
}

// IsEmpty says that the object has no fields.
func (o Object) IsEmpty() bool { return o.raw == "" }

// Decode reads the object into a typed value by the rules of the Kubernetes API: names are case-sensitive. Fields that
// the type does not know are skipped and named in unknown; admission tells the user, everybody else may ignore them.
// When err is not nil, into must not be used.
func (o Object) Decode(into any) (unknown []error, err error) {
	return kjson.UnmarshalStrict([]byte(o.String()), into)
}

// Has says that the object has a field of this name, even if it is null.
func (o Object) Has(field string) bool {
	_, ok := o.fields()[field]
	return ok
}

// With is the object with one field set to the JSON of v.
func (o Object) With(field string, v any) (Object, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return o, fmt.Errorf("encoding field %s: %w", field, err)
	}
	fields := o.fields()
	fields[field] = data
	return Of(fields)
}

// fields splits the object. It is never nil.
func (o Object) fields() map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(o.String()), &out); err != nil {
		// raw was read by UnmarshalJSON, so this does not happen; an empty map is the safe answer.
		return map[string]json.RawMessage{}
	}
	return out
}

// DeepCopyInto copies the object; the bytes are immutable and shared.
func (o *Object) DeepCopyInto(out *Object) { *out = *o }

// DeepCopy copies the object.
func (o *Object) DeepCopy() *Object {
	if o == nil {
		return nil
	}
	out := *o
	return &out
}

// Value is any JSON value where people write scalars of every type, such as the value of a Dapr component's metadata.
// A field of this type needs the markers Schemaless and PreserveUnknownFields.
type Value struct {
	raw string `json:"-"`
}

// Text makes a Value that is a string.
func Text(s string) Value {
	data, err := json.Marshal(s)
	if err != nil {
		return Value{}
	}
	return Value{raw: string(data)}
}

// MarshalJSON writes the value as it was read.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.raw == "" {
		return []byte("null"), nil
	}
	return []byte(v.raw), nil
}

// UnmarshalJSON accepts any JSON value.
func (v *Value) UnmarshalJSON(data []byte) error {
	raw, err := canonical(data)
	if err != nil {
		return err
	}
	if raw == "null" {
		raw = ""
	}
	v.raw = raw
	return nil
}

// String is the text of a string, the JSON of everything else, and empty for no value.
func (v Value) String() string {
	var s string
	if v.raw != "" && v.raw[0] == '"' && json.Unmarshal([]byte(v.raw), &s) == nil {
		return s
	}
	return v.raw
}

// IsEmpty says that no value was given. The empty string is a value.
func (v Value) IsEmpty() bool { return v.raw == "" }

// IsZero lets the omitzero option of encoding/json leave the value out when none was given.
func (v Value) IsZero() bool { return v.raw == "" }

// DeepCopyInto copies the value; the bytes are immutable and shared.
func (v *Value) DeepCopyInto(out *Value) { *out = *v }

// DeepCopy copies the value.
func (v *Value) DeepCopy() *Value {
	if v == nil {
		return nil
	}
	out := *v
	return &out
}

// canonical re-writes one JSON value with sorted keys and without spaces, keeping numbers as they were written.
func canonical(data []byte) (string, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return "", fmt.Errorf("reading JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return "", errors.New("reading JSON: more than one value")
	}
	out, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("writing JSON: %w", err)
	}
	return string(out), nil
}

// kind names the type of a JSON value for an error message.
func kind(v string) string {
	switch v[0] {
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}
