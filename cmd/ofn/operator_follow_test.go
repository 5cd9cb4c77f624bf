package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// followed is a function whose branch has moved on since it was built.
func (o *operated) followed(t *testing.T) {
	in := o.in(t)
	head := strings.Repeat("5", 40)
	git := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		line := head + " refs/heads/main\x00agent=git/2\n"
		_, _ = io.WriteString(w, "001e# service=git-upload-pack\n0000"+fmt.Sprintf("%04x%s", len(line)+4, line)+"0000")
	}))
	defer git.Close()
	fn := built("followed", nil)
	fn.Spec.Build.SrcRepo = &v1beta2.SourceRepo{URL: git.URL + "/repo", Revision: new("main"), PollInterval: &metav1.Duration{Duration: time.Second},
		Credentials: &corev1.LocalObjectReference{Name: "token"}}
	in.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "token"}, StringData: map[string]string{"token": "s3cret"}}, fn)
	in.eventually(func(context.Context) string {
		b := &v1beta2.Builder{}
		if err := in.get(b, "followed-build-00002"); err != nil {
			return err.Error()
		}
		return ""
	})
	if err := in.get(fn, "followed"); err != nil || fn.Annotations[v1beta2.AnnotationRebuild] != head {
		t.Errorf("the function has the annotations %v (%v)", fn.Annotations, err)
	}
}
