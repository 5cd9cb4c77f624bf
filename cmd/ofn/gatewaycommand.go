package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/openfunction/ofn/internal/kubeapi"
)

// gatewaySettings are what `ofn gateway` can be told. Flags are the only source.
type gatewaySettings struct {
	kubeconfig     string
	namespace      string
	ownNamespace   string
	address        string
	relayAddress   string
	ownAddress     string
	metricsAddress string
	healthAddress  string
	clusterDomain  string
	domain         string
	logSettings
	elect        bool
	drain        time.Duration
	linger       time.Duration
	startTimeout time.Duration
	warm         warmSettings
}

func (s *gatewaySettings) bind(f *pflag.FlagSet) {
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG; inside a cluster, the pod's service account)")
	f.StringVar(&s.namespace, "namespace", "", "the only namespace whose functions are served (default: all)")
	f.StringVar(&s.ownNamespace, "own-namespace", "openfunction", "namespace of the gateway itself, where its lease is")
	f.StringVar(&s.address, "address", ":8080", "address and port of the functions")
	f.StringVar(&s.ownAddress, "own-address", "", "IP address of the gateway's own pod, where other gateways reach it; without it the gateways that wait take no requests")
	f.StringVar(&s.relayAddress, "relay-address", ":8082", "address and port for other gateways, which hand requests on")
	f.StringVar(&s.metricsAddress, "metrics-address", ":9464", "address and port of /metrics; empty for none")
	f.StringVar(&s.healthAddress, "health-address", ":8081", "address and port of /healthz and /readyz; 0 for none")
	f.StringVar(&s.clusterDomain, "cluster-domain", "cluster.local", "domain of the cluster's internal names")
	f.StringVar(&s.domain, "domain", "", "also serve functions as <function>.<namespace>.<domain>")
	s.logSettings.bind(f)
	f.BoolVar(&s.elect, "leader-elect", true, "let one of several gateways serve and the others wait; without it there must be only one")
	f.DurationVar(&s.drain, "drain-timeout", 30*time.Second, "how long requests may go on when the gateway stops")
	f.DurationVar(&s.linger, "linger", 5*time.Second, "how long a gateway that is to stop still takes requests, while it is no longer ready")
	f.DurationVar(&s.startTimeout, "start-timeout", 10*time.Minute, "how long a pod may take to become ready, where a function does not say")
	s.warm.bind(f)
}

func gatewayCommand() *cobra.Command {
	var s gatewaySettings
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Serve the functions of a Kubernetes cluster that has no engine for them",
		Long: `Serve the functions that ` + "`ofn operator`" + ` runs with the engine "pods", which needs nothing but Kubernetes: requests are taken
in, wait for a copy where there is none, and are divided among revisions; pods are made and deleted as requests come and go.`,
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
			kubeapi.RouteKlog(log)
			ctrl.SetLogger(klog.Background()) // which RouteKlog made as quiet as it should be
			return serveGateway(cmd.Context(), config, &s, log)
		},
	}
	s.bind(cmd.Flags())
	cmd.AddCommand(holdCommand())
	return cmd
}

// serveGateway serves until ctx ends, or another gateway leads.
func serveGateway(ctx context.Context, config *rest.Config, s *gatewaySettings, log *slog.Logger) error {
	front, err := newFront(ctx, config, s, log)
	if err != nil {
		return err
	}
	log.Info("ofn gateway starts", "version", version, "api", config.Host, "namespace", s.namespace)
	if err := front.manager.Start(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("running the gateway: %w", err)
	}
	return nil
}
