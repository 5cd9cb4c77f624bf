package main

import (
	"context"
	"os"

	"github.com/spf13/pflag"
	"k8s.io/utils/clock"

	"github.com/openfunction/ofn/config"
	"github.com/openfunction/ofn/internal/cli/progress"
	"github.com/openfunction/ofn/internal/doctor"
	"github.com/openfunction/ofn/internal/install"
)

// clusterDoctor is what `ofn doctor --cluster` can be told.
type clusterDoctor struct {
	on      bool
	context string
}

func (d *clusterDoctor) bind(f *pflag.FlagSet) {
	f.BoolVar(&d.on, "cluster", false, "check a Kubernetes cluster instead of this machine: that of --kubeconfig, $KUBECONFIG or ~/.kube/config")
	f.StringVar(&d.context, "context", "", "context of the kubeconfig, with --cluster")
}

// examine asks the cluster and judges it.
func (d *clusterDoctor) examine(ctx context.Context, kubeconfig string) (doctor.Report, error) {
	at := target{kubeconfig: kubeconfig, context: d.context}
	cluster, err := at.config()
	if err != nil {
		return nil, err
	}
	info, err := serverVersion(ctx, cluster)
	if err != nil {
		return doctor.ExamineCluster(doctor.ClusterFacts{API: doctor.API{URL: cluster.Host, Err: err}}), nil
	}
	display := progress.New(os.Stderr, false, clock.RealClock{})
	defer display.Close()
	installer, _, err := at.installer(ctx, display)
	if err != nil {
		return nil, err
	}
	facts, err := installer.Survey(ctx, install.Manifests{Files: config.Files, Version: version})
	if err != nil {
		return nil, err
	}
	facts.API = doctor.API{URL: cluster.Host, Version: info}
	return doctor.ExamineCluster(facts), nil
}
