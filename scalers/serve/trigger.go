package serve

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
)

// defaultKeep is how long an unused scaler is kept when its trigger does not say.
const defaultKeep = 5 * time.Minute

// Trigger is what a request asks about.
type Trigger struct {
	Namespace, Object string // what is scaled
	Kind              string // "ScaledObject" or "ScaledJob"
	Index             int
	Type, Name        string
	MetricType        string // "", "AverageValue" or "Value"
	Composite         bool
	Keep              time.Duration
	Metadata          map[string]string
	Auth              map[string]string
	Env               map[string]string
}

// String names a trigger in errors and logs.
func (t Trigger) String() string {
	return fmt.Sprintf("trigger %d (%s) of %s/%s", t.Index, t.Type, t.Namespace, t.Object)
}

// Decode reads a trigger. The package comment says how it is written.
func Decode(ref *externalscaler.ScaledObjectRef) (Trigger, error) {
	t := Trigger{Namespace: ref.GetNamespace(), Object: ref.GetName(), Kind: "ScaledObject", Keep: defaultKeep,
		Metadata: map[string]string{}, Auth: map[string]string{}, Env: map[string]string{}}
	for _, key := range slices.Sorted(maps.Keys(ref.GetScalerMetadata())) {
		if err := t.set(key, ref.GetScalerMetadata()[key]); err != nil {
			return t, err
		}
	}
	if t.Type == "" {
		return t, fmt.Errorf("scalerMetadata has no %q: it must name the trigger type", "type")
	}
	return t, nil
}

func (t *Trigger) set(key, value string) (err error) {
	room, rest, inRoom := strings.Cut(key, ".")
	switch {
	case inRoom && room == "metadata":
		t.Metadata[rest] = value
	case inRoom && room == "auth":
		t.Auth[rest] = value
	case inRoom && room == "env":
		t.Env[rest] = value
	case key == "type":
		t.Type = value
	case key == "name":
		t.Name = value
	case key == "kind":
		t.Kind = value
	case key == "metricType":
		t.MetricType = value
	case key == "index":
		t.Index, err = strconv.Atoi(value)
	case key == "composite":
		t.Composite, err = strconv.ParseBool(value)
	case key == "keep":
		t.Keep, err = time.ParseDuration(value)
	default:
		return fmt.Errorf("scalerMetadata has %q, which is not known: see the package comment of serve", key)
	}
	if err != nil {
		return fmt.Errorf("reading %q of scalerMetadata: %w", key, err)
	}
	return nil
}

// key tells triggers apart: two that are equal in everything may share a scaler.
type key [sha256.Size]byte

func keyOf(ref *externalscaler.ScaledObjectRef) key {
	h := sha256.New()
	put := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		_, _ = h.Write(n[:])
		_, _ = h.Write([]byte(s))
	}
	put(ref.GetNamespace())
	put(ref.GetName())
	for _, k := range slices.Sorted(maps.Keys(ref.GetScalerMetadata())) {
		put(k)
		put(ref.GetScalerMetadata()[k])
	}
	return key(h.Sum(nil))
}
