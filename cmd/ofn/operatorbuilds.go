package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build/job"
	"github.com/openfunction/ofn/internal/build/pod"
	"github.com/openfunction/ofn/internal/build/shipwright"
	"github.com/openfunction/ofn/internal/build/tekton"
	"github.com/openfunction/ofn/internal/control/builder/delegate"
	"github.com/openfunction/ofn/internal/control/engines"
	"github.com/openfunction/ofn/internal/control/held"
)

// buildSettings are what `ofn operator` can be told about builds.
type buildSettings struct {
	images          []string // IMAGE, or LANGUAGE=IMAGE
	dockerfileImage string
	insecure        []string
}

func (s *buildSettings) bind(f *pflag.FlagSet) {
	f.StringArrayVar(&s.images, "builder-image", nil, "image with ofn, git and the tools of the languages, in which functions are built where Shipwright is not; LANGUAGE=IMAGE for one language ("+strings.Join(pod.Languages(), ", ")+"); repeatable")
	f.StringVar(&s.dockerfileImage, "dockerfile-image", "quay.io/containers/buildah:v1.43.1", "image with buildah, in which Tekton builds Dockerfiles where Shipwright is not")
	f.StringSliceVar(&s.insecure, "insecure-registry", nil, "registry host that builds in pods speak to without TLS; repeatable")
}

// pods is what the pods of builds are made of.
func (s *buildSettings) pods(env []string) (pod.Options, error) {
	o := pod.Options{Images: map[string]string{}, Insecure: s.insecure}
	for _, i := range s.images {
		language, image, own := strings.Cut(i, "=")
		switch {
		case !own:
			o.Image = i
		case !slices.Contains(pod.Languages(), language) || image == "":
			return o, fmt.Errorf("--builder-image %s: want IMAGE, or LANGUAGE=IMAGE with one of %s", i, strings.Join(pod.Languages(), ", "))
		default:
			o.Images[language] = image
		}
	}
	if o.Image == "" && len(o.Images) > 0 {
		return o, fmt.Errorf("--builder-image is given for %s only: give one without a language too, for sources whose language is not said", strings.Join(slices.Sorted(maps.Keys(o.Images)), ", "))
	}
	for _, e := range env {
		if name, _, _ := strings.Cut(e, "="); strings.HasSuffix(strings.ToLower(name), "_proxy") { // files are this machine's own
			o.Env = append(o.Env, e)
		}
	}
	return o, nil
}

// buildController carries out Builders with the engines of the cluster. What they make for Builders is in a cache of its own, which
// holds what has the label of Builders and no other pod, Job or TaskRun of the cluster.
func buildController(m ctrl.Manager, s *operatorSettings, found *engines.Controller) (*delegate.Controller, error) {
	pods, err := s.builds.pods(proxyEnv())
	if err != nil {
		return nil, err
	}
	made, err := buildCluster(m.GetConfig(), m, s.namespace)
	if err != nil {
		return nil, err
	}
	if err := m.Add(made); err != nil {
		return nil, fmt.Errorf("adding the cache of builds: %w", err)
	}
	c, live := made.GetClient(), m.GetAPIReader()
	lacks, kinds := "", []client.Object{untyped(batchv1.SchemeGroupVersion, "Job"), untyped(corev1.SchemeGroupVersion, "Pod")}
	if pods.Image == "" {
		lacks, kinds = "no image to build in is known: start `ofn operator` with --builder-image (config/builder-image says what it must hold)", nil
	}
	withShipwright, withTekton := engines.Shipwright(), engines.Tekton()
	return delegate.NewController(m.GetClient(), delegate.Options{
		Engines: found, Clock: clock.RealClock{}, Objects: made.GetCache(), Kinds: kinds,
		Choices: []delegate.Choice{
			{Name: v1beta2.BuildEngineShipwright, Title: "Shipwright", Engine: shipwright.New(m.GetClient(), live, s.builds.insecure), Needs: &withShipwright},
			{Name: v1beta2.BuildEngineTekton, Title: "Tekton TaskRuns", Needs: &withTekton, Own: true, Lacks: lacks,
				Engine: tekton.New(c, live, tekton.Options{Pod: pods, Dockerfile: s.builds.dockerfileImage})},
			{Name: v1beta2.BuildEngineJob, Title: "Jobs of Kubernetes", Engine: job.New(c, live, pods), Lacks: lacks, Refuses: refusedByJobs},
		},
	}), nil
}

// refusedByJobs is what only other engines build.
func refusedByJobs(b *v1beta2.Builder) string {
	if b.Spec.Dockerfile != nil && *b.Spec.Dockerfile != "" && (b.Spec.Builder == nil || *b.Spec.Builder == "") {
		return "a Dockerfile (build.dockerfile) is built by Shipwright or Tekton only"
	}
	return ""
}

func untyped(version schema.GroupVersion, kind string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(version.WithKind(kind))
	return u
}

// buildCluster is the cluster as far as builds are concerned. It makes its requests under the same limits as the manager.
func buildCluster(config *rest.Config, m ctrl.Manager, namespace string) (cluster.Cluster, error) {
	requirement, err := labels.NewRequirement(v1beta2.LabelBuilder, selection.Exists, nil)
	if err != nil {
		return nil, fmt.Errorf("selecting builds: %w", err)
	}
	made, err := cluster.New(config, func(o *cluster.Options) {
		o.Scheme = m.GetScheme()
		o.HTTPClient = m.GetHTTPClient()
		o.MapperProvider = func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return m.GetRESTMapper(), nil }
		o.NewCache = held.New(v1beta2.LabelBuilder)
		o.Cache.DefaultLabelSelector = labels.NewSelector().Add(*requirement)
		o.Cache.DefaultTransform = cache.TransformStripManagedFields()
		if namespace != "" {
			o.Cache.DefaultNamespaces = map[string]cache.Config{namespace: {}}
		}
		o.Client.Cache = &client.CacheOptions{Unstructured: true}
	})
	if err != nil {
		return nil, fmt.Errorf("watching builds: %w", err)
	}
	return made, nil
}
