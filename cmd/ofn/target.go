package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/internal/cli/progress"
	"github.com/openfunction/ofn/internal/install"
)

// target is the cluster that a command works on.
type target struct{ kubeconfig, context string }

func (t *target) bind(f *pflag.FlagSet) {
	f.StringVar(&t.kubeconfig, "kubeconfig", "", "kubeconfig file of the cluster (default: $KUBECONFIG, else ~/.kube/config)")
	f.StringVar(&t.context, "context", "", "context of the kubeconfig")
}

// config reads how the cluster is reached. That of `ofn up` on this machine is never meant unless it is named.
func (t *target) config() (*rest.Config, error) {
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: t.kubeconfig}
	if env := os.Getenv("KUBECONFIG"); t.kubeconfig == "" && env != "" {
		rules.Precedence = filepath.SplitList(env)
	} else if t.kubeconfig == "" {
		rules.Precedence = []string{filepath.Join(os.Getenv("HOME"), ".kube", "config")}
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: t.context}).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("no cluster is known: name its kubeconfig with --kubeconfig or $KUBECONFIG")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.UserAgent, config.QPS = "ofn/"+version, -1
	return config, nil
}

// serverPatience is how long a cluster may take to tell its version.
const serverPatience = 10 * time.Second

// installer reaches the cluster, and tells which it is.
func (t *target) installer(ctx context.Context, display *progress.Display) (*install.Installer, string, error) {
	config, err := t.config()
	if err != nil {
		return nil, "", err
	}
	info, err := serverVersion(ctx, config)
	if err != nil {
		return nil, "", err
	}
	if strings.HasSuffix(info, "+ofn") {
		return nil, "", fmt.Errorf("%s is the control plane of `ofn up`, which has everything that functions need: there is nothing to install or remove. Name the kubeconfig of a cluster with --kubeconfig", config.Host)
	}
	c, err := clusterClient(config)
	if err != nil {
		return nil, "", err
	}
	return &install.Installer{Client: c, Interval: install.Interval, Progress: install.Progress{
		Step: display.Step, Line: display.Line,
		Done: func(object, outcome string) { display.Line("%s %s", object, outcome) },
	}}, config.Host, nil
}

// serverVersion asks the API server for its version; the error says what to look at.
func serverVersion(ctx context.Context, config *rest.Config) (string, error) {
	config = rest.CopyConfig(config)
	config.Timeout = serverPatience
	d, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return "", fmt.Errorf("reaching the cluster: %w", err)
	}
	info, err := d.ServerVersion()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("there is no cluster at %s: %w; is it running, and is this the right kubeconfig and context?", config.Host, err)
	}
	return info.GitVersion, nil
}

func clusterClient(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("making the scheme: %w", err)
		}
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reaching the cluster: %w", err)
	}
	return c, nil
}
