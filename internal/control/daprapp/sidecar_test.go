package daprapp_test

import (
	"reflect"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/daprapp"
	"github.com/openfunction/ofn/internal/run"
)

func serving(annotations map[string]string) *v1beta2.Serving {
	s := &v1beta2.Serving{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn-00001", Labels: map[string]string{v1beta2.LabelFunction: "fn"}}}
	s.Spec.Annotations = annotations
	return s
}

func TestSidecar(t *testing.T) {
	for name, test := range map[string]struct {
		annotations map[string]string
		want        run.Sidecar
	}{
		"nothing said": {nil, run.Sidecar{AppID: "fn-ns"}},
		"much said": {map[string]string{"dapr.io/app-id": "me", "dapr.io/app-protocol": "GRPC", "dapr.io/app-ssl": "true", "dapr.io/log-level": "debug", "dapr.io/app-max-concurrency": "3",
			"dapr.io/http-max-request-size": "8", "dapr.io/read-buffer-size": "16Ki", "dapr.io/graceful-shutdown-seconds": "7", "dapr.io/sidecar-memory-limit": "256Mi",
			"dapr.io/sidecar-cpu-limit": "250m", "dapr.io/placement-host-address": "placement:50005", "dapr.io/env": "ignored"},
			run.Sidecar{AppID: "me", Protocol: "grpcs", Memory: 256 << 20, CPU: 250, Flags: []string{"--app-max-concurrency=3", "--dapr-graceful-shutdown-seconds=7",
				"--log-level=debug", "--max-body-size=8Mi", "--placement-host-address=placement:50005", "--read-buffer-size=16Ki"}}},
	} {
		test.want.Files = map[string][]byte{}
		got, err := daprapp.Sidecar(serving(test.annotations))
		if err != nil || !reflect.DeepEqual(*got, test.want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, test.want)
		}
	}
	for key, value := range map[string]string{"app-max-concurrency": "many", "log-level": "loud", "max-body-size": "8 MB", "http-max-request-size": "8Mi", "app-protocol": "carrier pigeon",
		"sidecar-memory-limit": "0", "sidecar-cpu-limit": "x", "block-shutdown-duration": "5", "enable-metrics": "yes", "placement-host-address": "--config=/x"} {
		if _, err := daprapp.Sidecar(serving(map[string]string{"dapr.io/" + key: value})); err == nil || !strings.Contains(err.Error(), "dapr.io/"+key) {
			t.Errorf("%s %q: got %v", key, value, err)
		}
	}
}

func TestHasSidecar(t *testing.T) {
	for _, test := range []struct {
		annotations map[string]string
		want        bool
	}{
		{nil, false},
		{map[string]string{"openfunction.io/dapr-service-mode": "sidecar"}, false}, // it is no application of Dapr
		{map[string]string{"openfunction.io/dapr-service-mode": "sidecar", "openfunction.io/enable-dapr": "true"}, true},
		{map[string]string{"openfunction.io/dapr-service-mode": "standalone", "openfunction.io/enable-dapr": "true"}, false},
	} {
		if got := daprapp.HasSidecar(serving(test.annotations)); got != test.want {
			t.Errorf("%v: %v", test.annotations, got)
		}
	}
}
