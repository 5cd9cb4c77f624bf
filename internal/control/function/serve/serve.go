// Package serve is the second phase of a Function: it makes a new revision (a Serving) whenever the image or the serving
// specification changes, decides which revisions take the traffic, and keeps a history to roll back to.
package serve

import (
	"context"
	"maps"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/owned"
)

// soon is when a cache that was behind is looked at again, should its event not come first.
const soon = time.Second

// Phase makes Servings.
type Phase struct{ client client.Client }

// New is the phase over a client.
func New(c client.Client) *Phase { return &Phase{client: c} }

// Gone does nothing: the garbage collector removes the Servings of a deleted function.
func (p *Phase) Gone(context.Context, string, string) error { return nil }

// Reconcile makes the revision that the spec asks for when the image is there, copies its state, and divides the traffic.
func (p *Phase) Reconcile(ctx context.Context, fn *v1beta2.Function) (reconcile.Result, error) {
	servings, err := owned.List[*v1beta2.Serving](ctx, p.client, fn, &v1beta2.ServingList{})
	if err != nil {
		return reconcile.Result{}, err
	}
	if fn.Spec.Serving == nil {
		return reconcile.Result{}, p.skip(ctx, fn, servings)
	}
	if fn.Status.Serving == nil || fn.Status.Serving.State == v1beta2.StateSkipped {
		fn.Status.Serving = &v1beta2.StageStatus{}
	}
	held := revisions(fn.Status.Traffic) // the router sends requests there until the phase after this one
	if imageReady(fn) {
		made, err := p.ensure(ctx, fn, servings)
		if err != nil {
			return reconcile.Result{}, err
		}
		if made == nil {
			condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionServed, "Unknown", "Creating", "")
			return reconcile.Result{RequeueAfter: soon}, nil
		}
		if len(servings) == 0 || servings[0] != made {
			servings = append([]*v1beta2.Serving{made}, servings...)
		}
	}
	served := observe(fn, servings)
	if missing := divide(fn, servings); len(missing) > 0 {
		served = missingRevisions(missing, servings)
	}
	condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionServed, served.Status, served.Reason, served.Message)
	return reconcile.Result{}, p.prune(ctx, fn, servings, held)
}

func imageReady(fn *v1beta2.Function) bool {
	b := fn.Status.Build
	return b != nil && (b.State == v1beta2.StateSucceeded || b.State == v1beta2.StateSkipped)
}

// skip removes every revision of a function that is only built.
func (p *Phase) skip(ctx context.Context, fn *v1beta2.Function, servings []*v1beta2.Serving) error {
	fn.Status.Serving = &v1beta2.StageStatus{State: v1beta2.StateSkipped}
	fn.Status.LatestCreatedRevision, fn.Status.LatestReadyRevision, fn.Status.Traffic = "", "", nil
	condition.Remove(&fn.Status.Conditions, v1beta2.ConditionServed)
	return owned.Prune(ctx, p.client, servings, 0, func(*v1beta2.Serving) bool { return false })
}

// ensure returns the revision that the spec asks for, made now when the newest is another; nil when it is on its way.
func (p *Phase) ensure(ctx context.Context, fn *v1beta2.Function, servings []*v1beta2.Serving) (*v1beta2.Serving, error) {
	spec := servingSpec(fn)
	hash, err := owned.Hash(spec)
	if err != nil {
		return nil, err
	}
	if len(servings) > 0 && servings[0].Annotations[owned.AnnotationHash] == hash {
		fn.Status.Serving.ResourceHash = hash
		return servings[0], nil
	}
	s := &v1beta2.Serving{Spec: spec}
	if s.Annotations, err = p.known(ctx, fn); err != nil {
		return nil, err
	}
	made, err := owned.Create(ctx, p.client, fn, s, fn.Name, name(fn, servings, hash), hash)
	if err != nil || !made {
		return nil, err
	}
	fn.Status.Serving.ResourceHash = hash
	return s, nil
}

// known is what the build of a revision's image tells beside its digest. On a cluster ofn's own builder may have built it, or another, of
// whose images nothing is known.
func (p *Phase) known(ctx context.Context, fn *v1beta2.Function) (map[string]string, error) {
	if fn.Spec.Build == nil || fn.Status.Build == nil || fn.Status.Build.ResourceRef == "" || fn.Spec.Build.Dockerfile != nil {
		return nil, nil
	}
	b := &v1beta2.Builder{}
	if err := p.client.Get(ctx, client.ObjectKey{Namespace: fn.Namespace, Name: fn.Status.Build.ResourceRef}, b); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	switch b.Status.ResourceRef[v1beta2.RefBuildEngine] {
	case v1beta2.BuildEngineTekton, v1beta2.BuildEngineJob:
		return map[string]string{v1beta2.AnnotationImageUser: v1beta2.ImageUserNonroot}, nil
	default:
		return nil, nil
	}
}

// name is that of the revision to make. One that the status knows for this very spec is made again under its own name: where it
// is only the cache that does not show it yet, the API server then refuses the second one.
func name(fn *v1beta2.Function, servings []*v1beta2.Serving, hash string) string {
	created := fn.Status.LatestCreatedRevision
	if fn.Status.Serving.ResourceHash == hash && created != "" && owned.Find(servings, created) == nil {
		return created
	}
	return owned.Next(fn.Name, servings, created, fn.Status.LatestReadyRevision)
}

// servingSpec pins the image of a build by its digest, so that a revision runs the same code for ever.
func servingSpec(fn *v1beta2.Function) v1beta2.ServingSpec {
	image := fn.Spec.Image
	if r := fn.Status.Revision; fn.Spec.Build != nil && r != nil && r.ImageDigest != "" {
		name, _, _ := strings.Cut(image, "@")
		image = name + "@" + r.ImageDigest
	}
	return v1beta2.ServingSpec{
		ServingTemplate:  *fn.Spec.Serving.ServingTemplate.DeepCopy(),
		Image:            image,
		Version:          fn.Spec.Version,
		ImageCredentials: fn.Spec.ImageCredentials,
	}
}

func ready(s *v1beta2.Serving) bool { return s.Status.State == v1beta2.StateRunning }

// observe copies the state of the newest revision, moves the latest ready one forward, never to a revision that has not
// proven itself, and says what the Served condition is.
func observe(fn *v1beta2.Function, servings []*v1beta2.Serving) metav1.Condition {
	s := fn.Status.Serving
	if len(servings) == 0 {
		*s = v1beta2.StageStatus{LastSuccessfulResourceRef: s.LastSuccessfulResourceRef}
		fn.Status.LatestCreatedRevision, fn.Status.LatestReadyRevision = "", ""
		return metav1.Condition{Status: "Unknown", Reason: "WaitingForImage", Message: "the image is not built yet"}
	}
	newest := servings[0]
	s.ResourceRef, s.Service = newest.Name, newest.Status.Service
	s.State, s.Reason, s.Message = newest.Status.State, newest.Status.Reason, newest.Status.Message
	if s.State == v1beta2.StateNone {
		s.State = v1beta2.StateCreated
	}
	fn.Status.LatestCreatedRevision = newest.Name
	fn.Status.LatestReadyRevision = latestReady(servings, fn.Status.LatestReadyRevision)
	switch s.State {
	case v1beta2.StateRunning:
		s.LastSuccessfulResourceRef = newest.Name
		return metav1.Condition{Status: "True", Reason: "RevisionReady"}
	case v1beta2.StateFailed, v1beta2.StateTimeout:
		return metav1.Condition{Status: "False", Reason: orElse(s.Reason, "RevisionFailed"), Message: s.Message}
	default:
		return metav1.Condition{Status: "Unknown", Reason: orElse(s.Reason, "RevisionStarting"), Message: s.Message}
	}
}

// latestReady is the newest revision that is ready, or the one known so far when that is newer: a revision that took the
// traffic does not lose it to an older one because it fails later.
func latestReady(servings []*v1beta2.Serving, known string) string {
	for _, s := range servings { // the newest first
		if s.Name == known || ready(s) {
			return s.Name
		}
	}
	return ""
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// prune keeps what takes traffic, took it until now or may soon, and as many other revisions as the history limit says. Those
// that never became ready are counted apart, so that a row of failed attempts does not push out what one may roll back to.
func (p *Phase) prune(ctx context.Context, fn *v1beta2.Function, servings []*v1beta2.Serving, held map[string]bool) error {
	limit := v1beta2.DefaultRevisionHistoryLimit
	if l := fn.Spec.Serving.RevisionHistoryLimit; l != nil {
		limit = *l
	}
	held[fn.Status.LatestCreatedRevision], held[fn.Status.LatestReadyRevision] = true, true
	maps.Copy(held, revisions(fn.Status.Traffic))
	for _, t := range fn.Spec.Serving.Traffic {
		held[t.RevisionName] = true
	}
	for _, proven := range []bool{true, false} {
		err := owned.Prune(ctx, p.client, servings, limit, func(s *v1beta2.Serving) bool { return held[s.Name] || ready(s) != proven })
		if err != nil {
			return err
		}
	}
	return nil
}

func revisions(traffic []v1beta2.TrafficStatus) map[string]bool {
	out := map[string]bool{}
	for _, t := range traffic {
		out[t.RevisionName] = true
	}
	return out
}
