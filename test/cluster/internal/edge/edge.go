// Package edge is what a test cluster has beside Kubernetes: names of Services, and a small ingress for Knative.
package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/rest"
)

const zone = ".svc.cluster.local"

// Run answers DNS on ip:53 (UDP and TCP) and HTTP for Knative's Ingress objects on ip:80 until ctx ends or one of them fails.
func Run(ctx context.Context, config *rest.Config, ip string, log *slog.Logger) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	factory := informers.NewSharedInformerFactory(client, 0)
	dir := &directory{ip: ip, services: factory.Core().V1().Services().Lister(), slices: factory.Discovery().V1().EndpointSlices().Lister()}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	defer cancel()
	factory.WaitForCacheSync(ctx.Done())

	ing := &ingress{directory: dir, client: dyn, discovery: client.Discovery(), log: log, transports: newTransports()}
	server := &http.Server{Addr: net.JoinHostPort(ip, "80"), Handler: ing, ReadHeaderTimeout: time.Minute, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	ended := make(chan error, 3)
	go func() { ended <- serveNames(ctx, net.JoinHostPort(ip, "53"), dir) }()
	go func() { ended <- server.ListenAndServe() }()
	go func() { ended <- ing.watch(ctx) }()
	left := cap(ended)
	select {
	case err = <-ended:
		left--
	case <-ctx.Done():
		err = ctx.Err()
	}
	cancel()
	err = errors.Join(err, server.Close())
	for range left {
		<-ended
	}
	return err
}

// directory knows the Services of the cluster and where they are.
type directory struct {
	ip       string // of the ingress
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
}

// lookup returns the addresses behind a name of the zone; found is false for a name that does not exist.
func (d *directory) lookup(host string) (ips []string, found bool) {
	const longestChain = 4
	for range longestChain {
		if host == ingressHost {
			return []string{d.ip}, true
		}
		labels, ok := strings.CutSuffix(strings.TrimSuffix(strings.ToLower(host), "."), zone)
		if !ok {
			return nil, false
		}
		parts := strings.Split(labels, ".")
		pod := ""
		if len(parts) == 3 { // a pod of a headless Service
			pod, parts = parts[0], parts[1:]
		}
		if len(parts) != 2 {
			return nil, false
		}
		svc, err := d.services.Services(parts[1]).Get(parts[0])
		switch {
		case err != nil:
			return nil, false
		case svc.Spec.Type == corev1.ServiceTypeExternalName:
			host = svc.Spec.ExternalName
		case svc.Spec.ClusterIP == corev1.ClusterIPNone || svc.Spec.ClusterIP == "":
			ips := d.endpoints(svc, pod)
			return ips, pod == "" || len(ips) > 0
		default:
			return []string{svc.Spec.ClusterIP}, pod == ""
		}
	}
	return nil, false
}

func (d *directory) endpoints(svc *corev1.Service, pod string) []string {
	list, err := d.slices.EndpointSlices(svc.Namespace).List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: svc.Name}))
	if err != nil {
		return nil // a lister of a cache does not fail
	}
	var ips []string
	for _, slice := range list {
		for _, e := range slice.Endpoints {
			ready := e.Conditions.Ready == nil || *e.Conditions.Ready || svc.Spec.PublishNotReadyAddresses
			if ready && (pod == "" || e.Hostname != nil && *e.Hostname == pod) {
				ips = append(ips, e.Addresses...)
			}
		}
	}
	return ips
}
