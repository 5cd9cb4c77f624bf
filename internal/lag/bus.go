package lag

import (
	"context"
	"fmt"
	"strconv"

	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/scale"
)

// KEDA's names and default of a trigger of type nats-jetstream.
const (
	metadataConsumer   = "consumer"
	metadataThreshold  = "lagThreshold"
	metadataActivation = "activationLagThreshold"
	defaultThreshold   = 10
)

// waiting is a trigger that looks at a bus of the platform.
type waiting struct {
	bus                     Bus
	namespace, name, reader string
	target, activation      float64
	perCopy                 bool
}

func newBus(w run.Watch, b Bus) (*waiting, error) {
	if b == nil {
		return nil, fmt.Errorf("metadata %s: this platform has no event buses", metadataBus)
	}
	s := &waiting{bus: b, namespace: w.Namespace, name: w.Metadata[metadataBus], reader: w.Metadata[metadataConsumer], perCopy: w.MetricType != "Value"}
	if s.reader == "" {
		return nil, fmt.Errorf("metadata %s is missing: it names whose events wait", metadataConsumer)
	}
	var err error
	if s.target, err = number(w, metadataThreshold, defaultThreshold); err != nil {
		return nil, err
	}
	if s.target <= 0 {
		return nil, fmt.Errorf("metadata %s must be more than 0", metadataThreshold)
	}
	s.activation, err = number(w, metadataActivation, 0)
	return s, err
}

// number reads a number of the metadata.
func number(w run.Watch, key string, unset float64) (float64, error) {
	text := w.Metadata[key]
	if text == "" {
		return unset, nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v < 0 {
		return 0, fmt.Errorf("metadata %s %q is not a number of 0 or more", key, text)
	}
	return v, nil
}

func (s *waiting) poll(ctx context.Context) ([]scale.Value, bool, error) {
	n, err := s.bus.Lag(ctx, s.namespace, s.name, s.reader)
	if err != nil {
		return nil, false, fmt.Errorf("event bus %s, consumer %s: %w", s.name, s.reader, err)
	}
	return []scale.Value{{Sum: float64(n), Target: s.target, PerCopy: s.perCopy}}, float64(n) > s.activation, nil
}

func (s *waiting) close() {}
