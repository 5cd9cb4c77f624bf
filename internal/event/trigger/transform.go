package trigger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/openfunction/ofn/internal/event/cloudevent"
)

// Transform makes another event of one. It may be used by many goroutines.
type Transform struct {
	data        *expr
	shape       any    // JSON with *text and *expr in it
	template    *parts // of text
	contentType string
	attributes  map[string]*expr
}

// Spec of a transformation, as in a Trigger: at most one of data, json and template.
type transformSpec struct {
	Data        string            `json:"data"`
	JSON        json.RawMessage   `json:"json"`
	Template    string            `json:"template"`
	ContentType string            `json:"contentType"`
	Attributes  map[string]string `json:"attributes"`
}

// CompileTransform reads a transformation. Nothing, or null, is none: the result is nil.
func CompileTransform(raw json.RawMessage) (*Transform, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil //nolint:nilnil // none is no error
	}
	var spec transformSpec
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&spec); err != nil {
		return nil, fmt.Errorf("transform: %w", err)
	}
	t := &Transform{contentType: spec.ContentType, attributes: map[string]*expr{}}
	if err := t.payload(spec); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Attributes)) {
		if !cloudevent.ValidName(name) || name == "specversion" || name == "data" {
			return nil, fmt.Errorf("transform.attributes: %q is no name of an attribute that can be set: use a-z and 0-9", name)
		}
		e, err := compile(nil, spec.Attributes[name])
		if err != nil {
			return nil, fmt.Errorf("transform.attributes.%s: %w", name, err)
		}
		t.attributes[name] = e
	}
	return t, nil
}

func (t *Transform) payload(spec transformSpec) (err error) {
	given := 0
	if spec.Data != "" {
		given++
		if t.data, err = compile(nil, spec.Data); err != nil {
			return fmt.Errorf("transform.data: %w", err)
		}
	}
	if len(spec.JSON) > 0 && string(spec.JSON) != "null" {
		given++
		var shape any
		if err := json.Unmarshal(spec.JSON, &shape); err != nil {
			return fmt.Errorf("transform.json: %w", err)
		}
		if t.shape, err = compileShape("transform.json", shape); err != nil {
			return err
		}
	}
	if spec.Template != "" {
		given++
		if t.template, err = splitTemplate("transform.template", spec.Template); err != nil {
			return err
		}
	}
	if given > 1 {
		return errors.New("transform: give one of data, json and template")
	}
	if t.contentType == "" && given > 0 {
		t.contentType = "application/json"
		if t.template != nil {
			t.contentType = "text/plain"
		}
	}
	return nil
}

// Apply makes the new event. Its id is the old one's unless it is set: the same event stays the same.
func (t *Transform) Apply(v *View) (cloudevent.Event, error) {
	out := v.Event.Clone()
	data, changed, err := t.render(v)
	if err != nil {
		return out, err
	}
	if changed {
		out.Data = data
	}
	if t.contentType != "" {
		out.DataContentType = t.contentType
	}
	for name, e := range t.attributes {
		val, err := e.eval(v, nil)
		if err != nil {
			return out, fmt.Errorf("transform.attributes.%s: %w", name, err)
		}
		text, err := plainText(val)
		if err == nil {
			err = setAttribute(&out, name, text)
		}
		if err != nil {
			return out, fmt.Errorf("transform.attributes.%s: %w", name, err)
		}
	}
	if err := out.Validate(); err != nil {
		return out, fmt.Errorf("transform: %w", err)
	}
	return out, nil
}

func setAttribute(e *cloudevent.Event, name, value string) error {
	switch name {
	case "id":
		e.ID = value
	case "source":
		e.Source = value
	case "type":
		e.Type = value
	case "subject":
		e.Subject = value
	case "datacontenttype":
		e.DataContentType = value
	case "dataschema":
		e.DataSchema = value
	case "time":
		at, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return fmt.Errorf("%q is no time of RFC 3339", value)
		}
		e.Time = at
	default:
		e.SetExtension(name, value)
	}
	return nil
}

func (t *Transform) render(v *View) (data []byte, changed bool, err error) {
	switch {
	case t.data != nil:
		val, err := t.data.eval(v, nil)
		if err != nil {
			return nil, false, fmt.Errorf("transform.data: %w", err)
		}
		if !isJSON(t.contentType) { // text and bytes go as they are
			text, err := plainText(val)
			return []byte(text), true, err
		}
		data, err := encode(val)
		return data, true, err
	case t.shape != nil:
		val, err := fill(v, t.shape)
		if err != nil {
			return nil, false, fmt.Errorf("transform.json: %w", err)
		}
		data, err := json.Marshal(val)
		return data, true, err
	case t.template != nil:
		text, err := t.template.text(v)
		if err != nil {
			return nil, false, fmt.Errorf("transform.template: %w", err)
		}
		return []byte(text), true, nil
	}
	return nil, false, nil
}

// encode is a CEL value as JSON.
func encode(val ref.Val) ([]byte, error) {
	native, err := native(val)
	if err != nil {
		return nil, err
	}
	return json.Marshal(native)
}

// jsonValue asks CEL for a value that JSON can hold.
var jsonValue = reflect.TypeFor[*structpb.Value]()

func native(val ref.Val) (any, error) {
	if types.IsUnknownOrError(val) {
		return nil, fmt.Errorf("%v", val)
	}
	out, err := val.ConvertToNative(jsonValue)
	if err != nil {
		return nil, fmt.Errorf("a value of type %s has no form in JSON: %w", val.Type().TypeName(), err)
	}
	pb, ok := out.(*structpb.Value)
	if !ok {
		return nil, fmt.Errorf("a value of type %s has no form in JSON", val.Type().TypeName())
	}
	text, err := protojson.Marshal(pb)
	if err != nil {
		return nil, err
	}
	return json.RawMessage(text), nil
}

// plainText is a value as people write it: text without quotes.
func plainText(val ref.Val) (string, error) {
	switch x := val.(type) {
	case types.String:
		return string(x), nil
	case types.Bytes:
		return string(x), nil
	}
	text, err := encode(val)
	return strings.Trim(string(text), `"`), err
}
