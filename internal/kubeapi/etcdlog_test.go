package kubeapi

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Requests that are given up make the etcd client inside the API server warn; the standard error is no place for that.
func TestStandardErrorIsLeftAlone(t *testing.T) {
	if os.Getenv("OFN_TEST_GIVE_UP") != "" {
		giveUpWrites(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStandardErrorIsLeftAlone$")
	cmd.Env = append(os.Environ(), "OFN_TEST_GIVE_UP=1")
	var said strings.Builder
	cmd.Stderr = &said
	if out, err := cmd.Output(); err != nil {
		t.Fatalf("%v\n%s%s", err, out, said.String())
	}
	if said.Len() > 0 {
		t.Errorf("on the standard error: %s", said.String())
	}
}

// giveUpWrites ends requests at all stages of their way.
func giveUpWrites(t *testing.T) {
	admin := administrator(t, sharedServer(t))
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*100*time.Microsecond)
			defer cancel()
			// Whether it was in time does not matter.
			_, _ = admin.dynamic.Resource(widgets).Namespace("default").Create(ctx, widget(fmt.Sprintf("given-up-%d", i)), metav1.CreateOptions{})
		})
	}
	all.Wait()
}
