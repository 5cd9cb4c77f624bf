package run_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run"
)

// things are a secret and a configmap to refer to.
func things() []client.Object {
	login := func(name, host, user string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Type: corev1.SecretTypeDockerConfigJson,
			Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths": {"` + host + `": {"username": "` + user + `", "password": "p"}}}`)}}
	}
	return []client.Object{
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s"}, Data: map[string][]byte{"user": []byte("me"), "zero": {0}, "sub/dir": []byte("x")}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "m"}, Data: map[string]string{"b": "2", "a": "1"}, BinaryData: map[string][]byte{"bin": {1}}},
		login("ghcr", "ghcr.io", "gh"), login("hub", "docker.io", "hub"),
	}
}

// resolved is what the runner is given for a Serving; the environment lacks the platform's part.
func resolved(t *testing.T, s *v1beta2.Serving) (run.Revision, string) {
	t.Helper()
	w := newWorld(t, append(things(), s)...)
	w.rest()
	r, ok := w.r.applied[key]
	if !ok {
		return r, w.serving().Status.Reason + ": " + w.serving().Status.Message
	}
	r.Container.Env = slices.DeleteFunc(r.Container.Env, func(e run.EnvVar) bool {
		return e.Name == "APP_PROTOCOL" || strings.HasPrefix(e.Name, "FUNC_CONTEXT")
	})
	return r, ""
}

// function is a template with the container named "function" and, after it, other fields.
func function(container, more string) string {
	if more != "" {
		more = ", " + more
	}
	return `{"containers": [{"name": "function"` + map[bool]string{true: ", "}[container != ""] + container + `}]` + more + `}`
}

// Each case is a container, the rest of the template, and what a copy gets of them, or the message.
func TestContainer(t *testing.T) {
	read := func(path, data string, mode uint32) run.File {
		return run.File{Path: path, Data: []byte(data), Mode: mode}
	}
	mount := func(volume, mount string) (string, string) {
		return `"volumeMounts": [{"name": "v", "mountPath": "/etc/v"` + mount + `}]`, `"volumes": [{"name": "v", ` + volume + `}]`
	}
	type is = run.Container
	type test struct {
		container, more string
		want            any
	}
	tests := []test{
		{``, ``, is{}},
		{`"command": ["a"], "args": ["b", "c"], "workingDir": "/w"`, ``, is{Command: []string{"a"}, Args: []string{"b", "c"}, WorkingDir: "/w"}},

		{`"resources": {"limits": {"memory": "64Mi", "cpu": "250m", "pids": "9"}, "requests": {"memory": "1Gi"}}`, ``, is{Memory: 64 << 20, CPU: 250, PIDs: 9}},
		{`"resources": {"limits": {"memory": "-1"}}`, ``, `InvalidLimit: resources.limits.memory is -1`},
		{`"resources": {"limits": {"nvidia.com/gpu": "1"}}`, ``, `Unsupported: resources.limits.nvidia.com/gpu cannot be enforced`},
		{`"resources": {"limits": {"ephemeral-storage": "1Gi"}}`, ``, `Unsupported: resources.limits.ephemeral-storage cannot be enforced`},

		{``, `"securityContext": {"runAsUser": 7, "runAsGroup": 8}`, is{UID: new(int64(7)), GID: new(int64(8))}},
		{`"securityContext": {"runAsUser": 9, "readOnlyRootFilesystem": true}`, `"securityContext": {"runAsUser": 7, "runAsGroup": 8}`, is{UID: new(int64(9)), GID: new(int64(8)), ReadOnlyRoot: true}},
		{`"securityContext": {"runAsNonRoot": true, "runAsUser": 1}`, ``, is{UID: new(int64(1))}},
		{`"securityContext": {"runAsNonRoot": false}`, `"securityContext": {"runAsNonRoot": true}`, is{}},
		{``, `"securityContext": {"runAsNonRoot": true}`, `RunAsNonRoot: securityContext.runAsNonRoot is set: give a runAsUser other than 0`},
		{`"securityContext": {"runAsUser": 0}`, `"securityContext": {"runAsNonRoot": true, "runAsUser": 1}`, `RunAsNonRoot`},
		{`"securityContext": {"privileged": true}`, ``, `Unsupported: securityContext.privileged`},
		{`"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}`, ``, `Unsupported: securityContext.capabilities.add`},
		{`"securityContext": {"capabilities": {"drop": ["ALL"]}, "allowPrivilegeEscalation": false}`, ``, is{}},
		{``, `"hostNetwork": true`, `Unsupported: template.hostNetwork`},
		{``, `"hostPID": true`, `Unsupported: template.hostNetwork, hostPID`},
		{``, `"securityContext": {"sysctls": [{"name": "a", "value": "b"}]}`, `Unsupported: template.securityContext.sysctls`},
		{``, `"hostAliases": [{"ip": "1.2.3.4", "hostnames": ["h"]}]`, `Unsupported: template.hostAliases`},
		{`"lifecycle": {"preStop": {"exec": {"command": ["x"]}}}`, ``, `Unsupported: lifecycle`},
		{`"volumeDevices": [{"name": "v", "devicePath": "/d"}]`, ``, `Unsupported: volumeDevices`},
		{``, `"nodeSelector": {"a": "b"}, "tolerations": [{"key": "k"}], "serviceAccountName": "sa"`, is{}},
		{``, `"initContainers": [{"name": "i"}]`, `Unsupported: template.initContainers`},

		{`"readinessProbe": {"httpGet": {"port": 8080, "httpHeaders": [{"name": "a", "value": "b"}]}, "periodSeconds": 3, "timeoutSeconds": 2, "initialDelaySeconds": 1, "failureThreshold": 4, "successThreshold": 5}`, ``,
			is{Probe: &run.Probe{HTTPPath: "/", HTTPHeaders: map[string]string{"a": "b"}, Period: 3 * time.Second, Timeout: 2 * time.Second, InitialDelay: time.Second, FailureThreshold: 4, SuccessThreshold: 5}}},
		{`"readinessProbe": {"httpGet": {"path": "/ok", "port": "http"}}`, ``, is{Probe: &run.Probe{HTTPPath: "/ok", HTTPHeaders: map[string]string{}}}},
		{`"readinessProbe": {"httpGet": {"port": 9}}`, ``, is{Probe: &run.Probe{HTTPPath: "/", HTTPHeaders: map[string]string{}, Port: 9}}},
		{`"ports": [{"name": "admin", "containerPort": 9}], "readinessProbe": {"tcpSocket": {"port": "admin"}}`, ``, is{Probe: &run.Probe{Port: 9}}},
		{`"readinessProbe": {"tcpSocket": {"port": 70000}}`, ``, `Unsupported: readinessProbe has port 70000`},
		{`"readinessProbe": {"tcpSocket": {"port": 1, "host": "h"}}`, ``, `Unsupported: readinessProbe.tcpSocket.host`},
		{`"livenessProbe": {"httpGet": {"port": 1, "host": "h"}}`, ``, `Unsupported: livenessProbe.httpGet.host`},
		{`"readinessProbe": {"httpGet": {"port": 8080, "scheme": "HTTPS"}}`, ``, is{Probe: &run.Probe{HTTPPath: "/", HTTPHeaders: map[string]string{}, HTTPS: true}}},
		{`"readinessProbe": {"tcpSocket": {"port": 8080}}`, ``, is{Probe: &run.Probe{}}},
		{`"readinessProbe": {"tcpSocket": {"port": 9}}`, ``, is{Probe: &run.Probe{Port: 9}}},
		{`"readinessProbe": {"grpc": {"port": 8080}}`, ``, is{Probe: &run.Probe{GRPC: true}}},
		{`"readinessProbe": {"grpc": {"port": 8080, "service": "s"}}`, ``, is{Probe: &run.Probe{GRPC: true, GRPCService: "s"}}},
		{`"readinessProbe": {"grpc": {"port": 9}}`, ``, is{Probe: &run.Probe{GRPC: true, Port: 9}}},
		{`"readinessProbe": {"exec": {"command": ["x", "y"]}}`, ``, is{Probe: &run.Probe{Exec: []string{"x", "y"}}}},
		{`"startupProbe": {"exec": {}}`, ``, `Unsupported: startupProbe.exec.command is empty`},
		{`"livenessProbe": {"tcpSocket": {"port": 8080}, "terminationGracePeriodSeconds": 0}, "startupProbe": {"tcpSocket": {"port": 8080}, "failureThreshold": 30, "terminationGracePeriodSeconds": 9}`, ``,
			is{Liveness: &run.Probe{Grace: time.Millisecond}, Startup: &run.Probe{FailureThreshold: 30, Grace: 9 * time.Second}}},
		{`"livenessProbe": {"tcpSocket": {"port": 8080}, "successThreshold": 2}`, ``, `Unsupported: livenessProbe.successThreshold is 2`},
		{`"readinessProbe": {"periodSeconds": 1}`, ``, is{Probe: &run.Probe{Period: time.Second}}},

		{`"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(P) $$(A) $(NO) $x $(A"}, {"name": "A", "value": "2"}]`, ``,
			is{Env: []run.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "1$(P) $(A) $(NO) $x $(A"}, {Name: "A", Value: "2"}}}},
		{`"env": [{"name": "U", "valueFrom": {"secretKeyRef": {"name": "s", "key": "user"}}}, {"name": "M", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "a"}}}, {"name": "NO", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "no", "optional": true}}}]`, ``,
			is{Env: []run.EnvVar{{Name: "U", Value: "me"}, {Name: "M", Value: "1"}}}},
		{`"env": [{"name": "U", "valueFrom": {"secretKeyRef": {"name": "s", "key": "no"}}}]`, ``, `MissingReference: secret "s" has no key "no"`},
		{`"env": [{"name": "U", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "no"}}}]`, ``, `MissingReference: configmap "no" is not in namespace "ns"`},
		{`"env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}, {"name": "P", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, {"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['openfunction.io/function']"}}}, {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['l']"}}}, {"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['x']"}}}]`, ``,
			is{Env: []run.EnvVar{{Name: "N", Value: "ns"}, {Name: "P", Value: "$(POD_NAME)"}, {Name: "F", Value: "fn"}, {Name: "L", Value: "label"}, {Name: "X", Value: "annotation"}}}},
		{`"env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}]`, ``, `Unsupported: fieldRef "metadata.uid"`},
		{`"env": [{"name": "N", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]`, ``, `Unsupported: env "N": its valueFrom is not supported`},
		{`"env": [{"name": "Z", "valueFrom": {"secretKeyRef": {"name": "s", "key": "zero"}}}]`, ``, `InvalidEnvironment: environment variable "Z"`},
		{`"env": [{"name": "A=B", "value": "1"}]`, ``, `InvalidEnvironment: environment variable "A=B"`},
		{`"envFrom": [{"prefix": "P_", "configMapRef": {"name": "m"}}, {"secretRef": {"name": "no", "optional": true}}], "env": [{"name": "E", "value": "$(P_a)"}]`, ``,
			is{Env: []run.EnvVar{{Name: "P_a", Value: "1"}, {Name: "P_b", Value: "2"}, {Name: "P_bin", Value: "\x01"}, {Name: "E", Value: "1"}}}},
		{`"envFrom": [{"secretRef": {"name": "no"}}]`, ``, `MissingReference: secret "no"`},

		{`"volumeMounts": [{"name": "v", "mountPath": "/v"}]`, ``, `Unsupported: volumeMounts names volume "v"`},
	}
	for _, v := range []struct {
		volume, mount string
		want          any
	}{
		{`"configMap": {"name": "m"}`, ``, is{Files: []run.File{read("/etc/v/a", "1", 0o444), read("/etc/v/b", "2", 0o444), read("/etc/v/bin", "\x01", 0o444)}}},
		{`"configMap": {"name": "m", "defaultMode": 256, "items": [{"key": "b", "path": "x/y", "mode": 493}, {"key": "a", "path": "../../up"}]}`, ``,
			is{Files: []run.File{read("/etc/v/up", "1", 0o400), read("/etc/v/x/y", "2", 0o755)}}},
		{`"configMap": {"name": "m"}`, `, "subPath": "a"`, is{Files: []run.File{read("/etc/v", "1", 0o444)}}},
		{`"configMap": {"name": "m", "items": [{"key": "b", "path": "x/y"}, {"key": "a", "path": "xx"}]}`, `, "subPath": "x"`, is{Files: []run.File{read("/etc/v/y", "2", 0o444)}}},
		{`"configMap": {"name": "m"}`, `, "subPath": "no"`, `MissingReference: configmap "m" has nothing at subPath "no"`},
		{`"configMap": {"name": "m", "items": [{"key": "no", "path": "x"}]}`, ``, `MissingReference: configmap "m" has no key "no"`},
		{`"configMap": {"name": "m", "optional": true, "items": [{"key": "no", "path": "x"}]}`, ``, is{}},
		{`"secret": {"secretName": "s", "items": [{"key": "user", "path": "user"}]}`, ``, is{Files: []run.File{read("/etc/v/user", "me", 0o444)}}},
		{`"secret": {"secretName": "no"}`, ``, `MissingReference: secret "no"`},
		{`"secret": {"secretName": "no", "optional": true}`, ``, is{}},
		{`"projected": {"defaultMode": 288, "sources": [{"secret": {"name": "s", "items": [{"key": "user", "path": "user"}]}}, {"configMap": {"name": "m", "items": [{"key": "a", "path": "a"}]}}]}`, ``,
			is{Files: []run.File{read("/etc/v/a", "1", 0o440), read("/etc/v/user", "me", 0o440)}}},
		{`"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}`, ``, `Unsupported: volume "v" projects something other`},
		{`"emptyDir": {}`, ``, is{Files: []run.File{{Path: "/etc/v/.keep", Mode: 0o444}}}},
		{`"emptyDir": {"sizeLimit": "1Gi"}`, ``, `Unsupported: volume "v": emptyDir.sizeLimit`},
		{`"hostPath": {"path": "/"}`, ``, `Unsupported: volume "v" is of a kind that one machine does not support`},
		{`"configMap": {"name": "m"}`, `, "subPathExpr": "$(A)"`, `Unsupported: volumeMounts of "v": subPathExpr`},
		{`"configMap": {"name": "m"}`, `, "mountPath": "relative"`, `InvalidVolume: volumeMounts of "v": mountPath "relative"`},
	} {
		container, more := mount(v.volume, v.mount)
		tests = append(tests, test{container, more, v.want})
	}
	for _, test := range tests {
		t.Run(test.container+test.more, func(t *testing.T) {
			got, message := resolved(t, serving(t, function(test.container, test.more), func(s *v1beta2.Serving) {
				s.Spec.Labels, s.Spec.Annotations = map[string]string{"l": "label"}, map[string]string{"x": "annotation"}
			}))
			switch want := test.want.(type) {
			case string:
				if !strings.HasPrefix(message, want) {
					t.Errorf("says %q", message)
				}
			case run.Container:
				if fmt.Sprintf("%+v", got.Container.Env) == "[]" {
					got.Container.Env = nil
				}
				if message != "" || !reflect.DeepEqual(got.Container, want) {
					t.Errorf("%s: container is\n%+v, want\n%+v", message, got.Container, want)
				}
			}
		})
	}
}

func TestOtherContainer(t *testing.T) {
	if _, message := resolved(t, serving(t, `{"containers": [{"name": "sidecar"}]}`)); !strings.HasPrefix(message, `Unsupported: template.containers has "sidecar"`) {
		t.Errorf("says %q", message)
	}
}

func TestRevision(t *testing.T) {
	s := serving(t, `{"runtimeClassName": "wasm", "terminationGracePeriodSeconds": 12, "containers": [{"name": "function", "ports": [{"name": "h2c", "containerPort": 9}]}]}`, func(s *v1beta2.Serving) {
		s.Spec.Triggers = &v1beta2.Triggers{HTTP: &v1beta2.HTTPTrigger{Port: new(int32(9000))}}
		s.Spec.Timeout = &metav1.Duration{Duration: 3 * time.Second}
		s.Spec.Annotations = map[string]string{"a": "own", "b": "own"}
		s.Spec.Params = map[string]string{"Z": "last", "A": "$(Z)", "B": "$(A)!"}
		s.Spec.ScaleOptions = &v1beta2.ScaleOptions{MinReplicas: new(int32(1)), MaxReplicas: new(int32(5)), ContainerConcurrency: new(int64(3)), Knative: map[string]string{"b": "knative"}}
		s.Status.State = v1beta2.StateRunning
	})
	got, message := resolved(t, s)
	want := run.Revision{Key: key, Function: "fn", Image: "ghcr.io/o/fn@sha256:1", RuntimeClass: "wasm", Port: 9000, H2C: true, MinScale: 1, MaxScale: 5, Proven: true,
		StartTimeout: 3 * time.Second, Grace: 12 * time.Second,
		Annotations: map[string]string{"a": "own", "b": "knative", "autoscaling.knative.dev/container-concurrency": "3"},
		Container:   run.Container{Env: []run.EnvVar{{Name: "A", Value: "$(Z)"}, {Name: "B", Value: "$(Z)!"}, {Name: "Z", Value: "last"}}}}
	if message != "" || !reflect.DeepEqual(got, want) {
		type plain run.Revision // without a String method
		t.Errorf("%s: revision is\n%#v, want\n%#v", message, plain(got), plain(want))
	}
	got, _ = resolved(t, serving(t, `{"terminationGracePeriodSeconds": 0}`))
	if got.Port != 8080 || got.H2C || got.StartTimeout != 7*time.Second || got.Grace <= 0 || got.Grace > time.Second || got.Proven || len(got.Annotations) != 0 {
		t.Errorf("revision is %+v", got)
	}
}

// As in a pod, the variables of envFrom give way to params and to the platform's own.
func TestOrderOfEnvironment(t *testing.T) {
	w := newWorld(t, serving(t, function(`"envFrom": [{"configMapRef": {"name": "m"}}], "env": [{"name": "b", "value": "env"}]`, ``), func(s *v1beta2.Serving) {
		s.Spec.Params = map[string]string{"a": "params", "b": "params"}
	}), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "m"}, Data: map[string]string{"a": "1", "b": "2", "FUNC_CONTEXT": "3"}})
	w.rest()
	env := map[string]string{}
	for _, e := range w.r.applied[key].Container.Env {
		env[e.Name] = e.Value
	}
	if env["a"] != "params" || env["b"] != "env" || !strings.HasPrefix(env["FUNC_CONTEXT"], "{") || env["APP_PROTOCOL"] != "grpc" {
		t.Errorf("environment is %v (%v)", slices.Sorted(maps.Keys(env)), env)
	}
}

func TestPullSecret(t *testing.T) {
	for name, test := range map[string]struct {
		credentials, template string
		user, message         string
	}{
		"none":              {"", "", "", ""},
		"credentials":       {"ghcr", "", "gh", ""},
		"pull secrets":      {"", `{"imagePullSecrets": [{"name": "hub"}, {"name": "ghcr"}]}`, "gh", ""},
		"the other is away": {"no", `{"imagePullSecrets": [{"name": "ghcr"}]}`, "gh", ""},
		"away":              {"no", "", "", `MissingReference: secret "no" is not in namespace "ns"`},
		"another host":      {"hub", "", "", `MissingReference: secret "hub" has no login for ghcr.io; it has docker.io`},
	} {
		t.Run(name, func(t *testing.T) {
			r, message := resolved(t, serving(t, test.template, func(s *v1beta2.Serving) {
				if test.credentials != "" {
					s.Spec.ImageCredentials = &corev1.LocalObjectReference{Name: test.credentials}
				}
			}))
			var user string
			if r.PullSecret != nil {
				user = r.PullSecret.Username
			}
			if user != test.user || message != test.message {
				t.Errorf("user %q, says %q", user, message)
			}
		})
	}
}
