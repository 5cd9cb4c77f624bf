package run_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
)

func annotated(s *corev1.Secret, hosts ...string) *corev1.Secret {
	s.Annotations = map[string]string{}
	for i, h := range hosts {
		s.Annotations[fmt.Sprintf("tekton.dev/git-%d", i)] = h
	}
	return s
}

func account(secrets ...string) *corev1.ServiceAccount {
	a := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "default"}}
	for _, s := range secrets {
		a.Secrets = append(a.Secrets, corev1.ObjectReference{Name: s})
	}
	return a
}

func login(host, user, password, token string) build.HostLogin {
	return build.HostLogin{Host: host, Auth: build.Auth{Username: user, Password: password, Token: token}}
}

func TestDependencies(t *testing.T) {
	basic := map[string]string{"username": "u", "password": "p"}
	source := func(b *v1beta2.Builder) { b.Spec.SrcRepo.Credentials = ref("git") }
	bundle := func(b *v1beta2.Builder) {
		b.Spec.SrcRepo.Credentials, b.Spec.SrcRepo.BundleContainer = ref("git"), &v1beta2.BundleContainer{Image: "ghcr.io/o/src"}
	}
	image := func(b *v1beta2.Builder) { b.Spec.BuilderCredentials = ref("pull") }
	github := login("github.com", "u", "p", "")
	for name, test := range map[string]struct {
		change  func(*v1beta2.Builder)
		objects []client.Object
		want    build.Dependencies
	}{
		"nothing":                {func(*v1beta2.Builder) {}, nil, build.Dependencies{}},
		"an account of nothing":  {func(*v1beta2.Builder) {}, []client.Object{account("gone")}, build.Dependencies{}},
		"the source's host":      {source, []client.Object{secretOf("git", basic)}, build.Dependencies{Logins: []build.HostLogin{github}}},
		"not a bundle's":         {bundle, []client.Object{secretOf("git", basic)}, build.Dependencies{}},
		"a bundle's, annotated":  {bundle, []client.Object{annotated(secretOf("git", basic), "https://github.com/o")}, build.Dependencies{Logins: []build.HostLogin{github}}},
		"a key for ssh":          {source, []client.Object{secretOf("git", map[string]string{"ssh-privatekey": "k"})}, build.Dependencies{}},
		"blanks, for the source": {source, []client.Object{secretOf("git", map[string]string{"username": "u", "password": "p q"})}, build.Dependencies{}},
		"annotated": {source, []client.Object{annotated(secretOf("git", basic), "https://gitlab.example:8443/a", "git.example")},
			build.Dependencies{Logins: []build.HostLogin{login("gitlab.example:8443", "u", "p", ""), login("git.example", "u", "p", ""), github}}},
		"files beside a login": {source, []client.Object{secretOf("git", map[string]string{"token": "t", ".npmrc": "n", "other": "o"})},
			build.Dependencies{Logins: []build.HostLogin{login("github.com", "", "", "t")}, Files: map[string][]byte{".npmrc": []byte("n")}}},
		"files of the builder's": {image, []client.Object{secretOf("pull", map[string]string{"pip.conf": "p"})}, build.Dependencies{Files: map[string][]byte{"pip.conf": []byte("p")}}},
		"linked": {func(*v1beta2.Builder) {}, []client.Object{account("a", "b"), annotated(secretOf("a", basic), "https://github.com"),
			secretOf("b", map[string]string{"settings.xml": "s", "token": "of nothing that was said"})},
			build.Dependencies{Logins: []build.HostLogin{github}, Files: map[string][]byte{"settings.xml": []byte("s")}}},
		"the build's own come first": {source, []client.Object{account("a"), secretOf("git", map[string]string{"username": "u", "password": "p", ".npmrc": "own"}),
			annotated(secretOf("a", map[string]string{"token": "t", ".npmrc": "linked"}), "https://github.com")},
			build.Dependencies{Logins: []build.HostLogin{github}, Files: map[string][]byte{".npmrc": []byte("own")}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, append(test.objects, builder(test.change))...)
			w.reconcile()
			if got := (<-w.s.began).request.Dependencies; !reflect.DeepEqual(got, test.want) {
				t.Errorf("got logins %v, files %q", hosts(got), got.Files)
			}
		})
	}
}

func hosts(d build.Dependencies) (out []string) {
	for _, l := range d.Logins {
		out = append(out, l.Host+" "+l.Auth.Username)
	}
	return out
}

func TestDependenciesRefused(t *testing.T) {
	basic := map[string]string{"username": "u", "password": "p"}
	for name, test := range map[string]struct {
		objects []client.Object
		says    string
	}{
		"the builder's secret is missing": {nil, `secret "pull" is not in namespace "ns"`},
		"annotated for nothing":           {[]client.Object{annotated(secretOf("pull", basic), "https://")}, "must be the address of a host"},
		"annotated with a login":          {[]client.Object{annotated(secretOf("pull", basic), "https://u:p@h")}, "must be the address of a host"},
		"annotated without a login":       {[]client.Object{annotated(secretOf("pull", map[string]string{".npmrc": ""}), "https://h")}, "has none of the keys"},
		"a password with blanks":          {[]client.Object{annotated(secretOf("pull", map[string]string{"username": "u", "password": "s3 cret"}), "h")}, "use a token"},
	} {
		t.Run(name, func(t *testing.T) {
			b := builder(func(b *v1beta2.Builder) { b.Spec.BuilderCredentials = ref("pull") })
			w := newWorld(t, append(test.objects, b)...)
			w.clock.SetTime(epoch.Add(2 * time.Minute))
			s := w.ended()
			if s.State != v1beta2.StateFailed || s.Reason != "MissingReference" || !strings.Contains(s.Message, test.says) || strings.Contains(s.Message, "s3 cret") {
				t.Errorf("status is %+v, want %q", s, test.says)
			}
		})
	}
}

func TestBuilderCredentials(t *testing.T) {
	for name, want := range map[string]build.Auth{"docker.io": {Username: "u", Password: "p"}, "ghcr.io": {}} {
		pull := secretOf("pull", map[string]string{".dockerconfigjson": `{"auths": {"` + name + `": {"username": "u", "password": "p"}}}`})
		pull.Type = corev1.SecretTypeDockerConfigJson
		w := newWorld(t, pull, builder(func(b *v1beta2.Builder) { b.Spec.BuilderCredentials = ref("pull") }))
		w.reconcile()
		if r := (<-w.s.began).request; !reflect.DeepEqual(r.BuilderAuth, want) || !r.Dependencies.Empty() {
			t.Errorf("%s: user %q, dependencies %v", name, r.BuilderAuth.Username, r.Dependencies)
		}
	}
}
