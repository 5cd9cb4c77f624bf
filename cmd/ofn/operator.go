package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/openfunction/ofn/internal/kubeapi"
)

// operatorSettings are what `ofn operator` can be told. Flags are the only source.
type operatorSettings struct {
	kubeconfig     string
	namespace      string
	ownNamespace   string
	metricsAddress string
	healthAddress  string
	clusterDomain  string
	domain         string
	logLevel       string
	logFormat      string
	elect          bool
	webhooks       webhookSettings
	builds         buildSettings
	kedaHTTP       kedaHTTPSettings
	pods           podSettings
	follow         followSettings
	events         eventSettings
	// several allows more than one operator in this process, for tests.
	several bool
}

func (s *operatorSettings) bind(f *pflag.FlagSet) {
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG; inside a cluster, the pod's service account)")
	f.StringVar(&s.namespace, "namespace", "", "the only namespace whose functions are looked after (default: all)")
	f.StringVar(&s.ownNamespace, "own-namespace", "openfunction", "namespace of the operator itself, where its lease is")
	f.StringVar(&s.metricsAddress, "metrics-address", ":9464", "address and port of /metrics; 0 for none")
	f.StringVar(&s.healthAddress, "health-address", ":8081", "address and port of /healthz and /readyz; 0 for none")
	f.StringVar(&s.clusterDomain, "cluster-domain", "cluster.local", "domain of the cluster's internal names")
	f.StringVar(&s.domain, "domain", "", "domain by which ofn gateway is reached from outside of the cluster, as its own --domain, with the port if that is not 80: the addresses of functions say it")
	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "", "text or json (default: text on a terminal)")
	s.builds.bind(f)
	s.kedaHTTP.bind(f)
	s.pods.bind(f)
	s.follow.bind(f)
	s.events.bind(f)
	f.BoolVar(&s.elect, "leader-elect", true, "let one of several operators work and the others wait; without it there must be only one")
	s.webhooks.bind(f)
}

func operatorCommand() *cobra.Command {
	var s operatorSettings
	cmd := &cobra.Command{
		Use:   "operator",
		Short: "Run functions on a Kubernetes cluster, with the engines that it has",
		Long: `Run the controllers on the API server of a cluster until interrupted: the functions that are applied there are built with
Shipwright and run with Knative Serving. Nothing is installed: a function whose engine the cluster lacks says so in its
conditions, with the command that installs it, and goes on when it is there.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(s.logLevel, s.logFormat)
			if err != nil {
				return err
			}
			config, err := clusterConfig(s.kubeconfig, os.Getenv("KUBECONFIG"))
			if err != nil {
				return err
			}
			debug.SetGCPercent(gcPercent)
			kubeapi.RouteKlog(log)
			ctrl.SetLogger(klog.Background()) // which RouteKlog made as quiet as it should be
			ctx, ended := context.WithCancel(cmd.Context())
			var settling sync.WaitGroup
			settling.Go(func() { settle(ctx, log) })
			defer settling.Wait()
			defer ended()
			return operate(ctx, config, &s, log)
		},
	}
	s.bind(cmd.Flags())
	return cmd
}

// clusterConfig finds the cluster: by file, by the environment's file, or as the pod that this is.
func clusterConfig(file, env string) (*rest.Config, error) {
	if file == "" && env == "" {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("no cluster: %w; outside of a cluster give --kubeconfig", err)
		}
		return config, nil
	}
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: file}
	if file == "" {
		rules.ExplicitPath = env
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return config, nil
}

// operate runs the controllers until ctx ends.
func operate(ctx context.Context, config *rest.Config, s *operatorSettings, log *slog.Logger) error {
	manager, err := newOperator(ctx, config, s, log)
	if err != nil {
		return err
	}
	log.Info("ofn operator starts", "version", version, "api", config.Host, "namespace", s.namespace)
	if err := manager.Start(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("running the controllers: %w", err)
	}
	return nil
}

// operatorDrain is how long what is under way may take when the operator stops; all of it can be taken up by another.
const operatorDrain = 25 * time.Second
