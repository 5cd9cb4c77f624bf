package main

import (
	"context"
	"errors"

	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/engines"
	functionplace "github.com/openfunction/ofn/internal/control/function/place"
	"github.com/openfunction/ofn/internal/run/kedahttp"
)

// kedaHTTPSettings say how the cluster has KEDA's HTTP add-on.
type kedaHTTPSettings struct {
	namespace string
	port      int32
}

func (s *kedaHTTPSettings) bind(f *pflag.FlagSet) {
	f.StringVar(&s.namespace, "keda-http-namespace", "keda", "namespace of KEDA's HTTP add-on")
	f.Int32Var(&s.port, "keda-http-port", kedahttp.DefaultProxyPort, "port at which the Service of its interceptor listens, which internal addresses name unless it is 80")
}

// kedaHTTPWay runs functions behind the interceptor of KEDA's HTTP add-on.
func kedaHTTPWay(m ctrl.Manager, s *operatorSettings) functionplace.Way {
	c := m.GetClient()
	never := func(*v1beta2.Serving) bool { return false }
	engine := kedahttp.New(c, m.GetAPIReader(), kedahttp.Options{Namespace: s.kedaHTTP.namespace, ProxyPort: s.kedaHTTP.port, ClusterDomain: s.clusterDomain, Routes: hasInterceptorRoutes(c)})
	return functionplace.Way{Name: v1beta2.EngineKeda, Engine: engine, Ref: v1beta2.RefKedaHTTPDeployment,
		Needs: []engines.Engine{engines.KEDA(), engines.KEDAHTTP()},
		// It does without, but must know when it has them.
		Sometimes: []functionplace.Need{{Engine: engines.InterceptorRoutes(), For: never}}, Kinds: workloads()}
}

// hasInterceptorRoutes says whether the add-on has the kind that it prefers.
func hasInterceptorRoutes(c client.Reader) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		err := engines.Check(ctx, c, engines.InterceptorRoutes())
		if lacks := (*engines.Missing)(nil); errors.As(err, &lacks) {
			return false, nil
		}
		return err == nil, err
	}
}
