package daprapp

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run"
)

// Annotations of Dapr that only a sidecar reads, beside those that become flags.
const (
	annotation              = "dapr.io/"
	AnnotationConfig        = annotation + "config"
	annotationAppSSL        = annotation + "app-ssl"
	annotationMemoryLimit   = annotation + "sidecar-memory-limit"
	annotationCPULimit      = annotation + "sidecar-cpu-limit"
	annotationMaxRequest    = annotation + "http-max-request-size"
	annotationReadBufferOld = annotation + "http-read-buffer-size"
)

// HasSidecar says whether a daprd is wanted beside each copy of a revision.
func HasSidecar(s *v1beta2.Serving) bool {
	return Enabled(s) && Annotation(s, v1beta2.AnnotationDaprServiceMode) == v1beta2.DaprServiceModeSidecar
}

// kind is what the value of an annotation must be.
type kind struct {
	name string
	ok   func(string) bool
}

var (
	text     = kind{"a word", func(s string) bool { return !strings.HasPrefix(s, "-") && !strings.ContainsAny(s, " \t\n") }}
	whole    = kind{"a whole number", func(s string) bool { _, err := strconv.Atoi(s); return err == nil }}
	boolean  = kind{"true or false", func(s string) bool { _, err := strconv.ParseBool(s); return err == nil }}
	duration = kind{"a duration like 5s", func(s string) bool { _, err := time.ParseDuration(s); return err == nil }}
	quantity = kind{"a quantity like 8Mi", func(s string) bool { _, err := resource.ParseQuantity(s); return err == nil }}
	level    = kind{"debug, info, warn, error or fatal", func(s string) bool {
		return slices.Contains([]string{"debug", "info", "warn", "error", "fatal"}, s)
	}}
	path = kind{"a path", func(s string) bool { return strings.HasPrefix(s, "/") || text.ok(s) }}
)

// flag is one of daprd's, and what its annotation may be.
type flag struct {
	name string
	kind kind
}

// flags are those of daprd by the annotations that set them on a cluster, less "dapr.io/".
func flags() map[string]flag {
	return map[string]flag{
		"log-level": {"log-level", level}, "log-as-json": {"log-as-json", boolean}, "enable-api-logging": {"enable-api-logging", boolean},
		"app-max-concurrency": {"app-max-concurrency", whole}, "max-body-size": {"max-body-size", quantity}, "read-buffer-size": {"read-buffer-size", quantity},
		"graceful-shutdown-seconds": {"dapr-graceful-shutdown-seconds", whole}, "block-shutdown-duration": {"dapr-block-shutdown-duration", duration},
		"enable-app-health-check": {"enable-app-health-check", boolean}, "app-health-check-path": {"app-health-check-path", path},
		"app-health-probe-interval": {"app-health-probe-interval", whole}, "app-health-probe-timeout": {"app-health-probe-timeout", whole},
		"app-health-threshold": {"app-health-threshold", whole}, "enable-metrics": {"enable-metrics", boolean}, "metrics-port": {"metrics-port", whole},
		"placement-host-address": {"placement-host-address", text}, "scheduler-host-address": {"scheduler-host-address", text},
		"actors-service": {"actors-service", text}, "reminders-service": {"reminders-service", text},
	}
}

// Sidecar is the daprd that a revision's annotations ask for, without its Configuration. An error names the annotation.
func Sidecar(s *v1beta2.Serving) (*run.Sidecar, error) {
	out := &run.Sidecar{AppID: ID(s), Files: map[string][]byte{}}
	all := flags()
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if v := Annotation(s, annotation+key); v != "" {
			if !all[key].kind.ok(v) {
				return nil, wrong(annotation+key, v, all[key].kind.name)
			}
			out.Flags = append(out.Flags, "--"+all[key].name+"="+v)
		}
	}
	for key, unit := range map[string]string{annotationMaxRequest: "--max-body-size=%sMi", annotationReadBufferOld: "--read-buffer-size=%sKi"} {
		if v := Annotation(s, key); v != "" {
			if !whole.ok(v) {
				return nil, wrong(key, v, whole.name)
			}
			out.Flags = append(out.Flags, fmt.Sprintf(unit, v))
		}
	}
	slices.Sort(out.Flags)
	var err error
	if out.Memory, err = limit(s, annotationMemoryLimit, 1); err != nil {
		return nil, err
	}
	if out.CPU, err = limit(s, annotationCPULimit, 1000); err != nil {
		return nil, err
	}
	out.Protocol, err = sidecarProtocol(s)
	return out, err
}

// sidecarProtocol is that of the channel from daprd to the function; empty when nothing is said of it.
func sidecarProtocol(s *v1beta2.Serving) (string, error) {
	p := strings.ToLower(Annotation(s, AnnotationAppProtocol))
	if !slices.Contains([]string{"", "http", "https", "grpc", "grpcs", "h2c"}, p) {
		return "", wrong(AnnotationAppProtocol, p, "http, https, grpc, grpcs or h2c")
	}
	if ssl, err := strconv.ParseBool(Annotation(s, annotationAppSSL)); err == nil && ssl && (p == "http" || p == "grpc") {
		p += "s"
	}
	return p, nil
}

// limit is a quantity in units of its thousandth or one.
func limit(s *v1beta2.Serving, key string, unit float64) (int64, error) {
	v := Annotation(s, key)
	if v == "" {
		return 0, nil
	}
	q, err := resource.ParseQuantity(v)
	if err != nil || q.Sign() <= 0 {
		return 0, wrong(key, v, "a quantity above 0 like 256Mi or 500m")
	}
	return int64(math.Ceil(q.AsApproximateFloat64() * unit)), nil
}

func wrong(key, value, want string) error {
	return fmt.Errorf("annotation %s is %q; it is %s", key, value, want)
}
