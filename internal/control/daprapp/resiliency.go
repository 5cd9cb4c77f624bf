package daprapp

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	events "github.com/openfunction/ofn/api/events/v1alpha1"
)

// KindResiliency is the kind of a Resiliency.
const KindResiliency = "Resiliency"

// What a retry means where it does not say; docs/events.md has the same.
const (
	defaultAttempts = 10
	defaultInitial  = 200 * time.Millisecond
	defaultLongest  = time.Minute
)

// Resiliency is Dapr's object of this name as it is applied: how often an event is tried that the function did not handle.
type Resiliency struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        ObjectMeta     `json:"metadata"`
	Scopes          []string       `json:"scopes"`
	Spec            ResiliencySpec `json:"spec"`
}

// ResiliencySpec names policies and what they are for.
type ResiliencySpec struct {
	Policies struct {
		Retries map[string]DaprRetry `json:"retries"`
	} `json:"policies"`
	Targets struct {
		Components map[string]DaprTarget `json:"components"`
	} `json:"targets"`
}

// DaprRetry is one of Dapr's policies.
type DaprRetry struct {
	Policy      string `json:"policy"` // constant or exponential
	Duration    string `json:"duration,omitempty"`
	MaxInterval string `json:"maxInterval,omitempty"`
	MaxRetries  int    `json:"maxRetries"`
}

// DaprTarget has the names of policies for what comes from a component.
type DaprTarget struct {
	Inbound struct {
		Retry string `json:"retry"`
	} `json:"inbound"`
}

// ResiliencyOf is what becomes of the retry of a revision's triggers on a cluster; nil when none has one. What Dapr cannot keep is an error.
func ResiliencyOf(owner metav1.OwnerReference, s *v1beta2.Serving) (*Resiliency, error) {
	asked, err := retries(s)
	if err != nil || len(asked) == 0 {
		return nil, err
	}
	fn := s.Labels[v1beta2.LabelFunction]
	out := &Resiliency{TypeMeta: metav1.TypeMeta{APIVersion: daprv1.GroupVersion.String(), Kind: KindResiliency}, Scopes: []string{ID(s)},
		Metadata: ObjectMeta{Namespace: s.Namespace, Name: fn, OwnerReferences: []metav1.OwnerReference{owner},
			Labels: map[string]string{v1beta2.LabelManaged: "true", v1beta2.LabelFunction: fn}}}
	out.Spec.Policies.Retries, out.Spec.Targets.Components = map[string]DaprRetry{}, map[string]DaprTarget{}
	for i, component := range slices.Sorted(maps.Keys(asked)) {
		policy := "retry-" + strconv.Itoa(i+1) // none of Dapr's built-in ones
		out.Spec.Policies.Retries[policy] = *asked[component]
		target := DaprTarget{}
		target.Inbound.Retry = policy
		out.Spec.Targets.Components[component] = target
	}
	return out, nil
}

// retries are those that the triggers of a revision ask for, by the component that calls.
func retries(s *v1beta2.Serving) (map[string]*DaprRetry, error) {
	asked := map[string]*DaprRetry{} // nil where a trigger has none
	if s.Spec.Triggers == nil {
		return asked, nil
	}
	for i, d := range s.Spec.Triggers.Dapr {
		if d == nil {
			continue
		}
		component := called(s, &d.DaprComponentRef)
		retry, err := daprRetry(d.Retry)
		if err != nil {
			return nil, fmt.Errorf("triggers.dapr[%d].retry: %w", i, err)
		}
		if before, again := asked[component]; again && !same(before, retry) {
			return nil, fmt.Errorf("triggers.dapr[%d].retry: the trigger before it of component %q has another one, and Dapr has one for each component: make them the same", i, d.Name)
		}
		asked[component] = retry
	}
	maps.DeleteFunc(asked, func(_ string, r *DaprRetry) bool { return r == nil })
	return asked, nil
}

// called is the name of the Component that a reference means on a cluster.
func called(s *v1beta2.Serving, ref *v1beta2.DaprComponentRef) string {
	name := Name(&s.Spec.ServingTemplate, ref)
	if t := &s.Spec.ServingTemplate; t.Bindings[ref.Name] != nil || t.Pubsub[ref.Name] != nil {
		return ObjectName(s.Labels[v1beta2.LabelFunction], name)
	}
	return name
}

func same(a, b *DaprRetry) bool { return a == b || a != nil && b != nil && *a == *b }

// daprRetry is a retry in Dapr's words, which waits half a second at first and then half as long again each time; who waits the same time
// always gets just that.
func daprRetry(p *events.RetryPolicy) (*DaprRetry, error) {
	if p == nil {
		return nil, nil
	}
	if p.MaxAge != nil {
		return nil, errors.New("maxAge is kept by `ofn up` alone, Dapr does not look at the age of an event: give attempts")
	}
	attempts, first, longest := defaultAttempts, defaultInitial, defaultLongest
	if p.Attempts != nil {
		attempts = int(*p.Attempts)
	}
	if p.InitialInterval != nil {
		first = p.InitialInterval.Duration
	}
	if p.MaxInterval != nil {
		longest = p.MaxInterval.Duration
	}
	out := &DaprRetry{Policy: "exponential", MaxInterval: longest.String(), MaxRetries: max(attempts, 1) - 1}
	if first >= longest || attempts == 2 {
		out.Policy, out.MaxInterval, out.Duration = "constant", "", min(first, longest).String()
	}
	return out, nil
}

// SpeaksHTTP says whether the sidecar calls the revision over HTTP, as it calls ofn's own frameworks.
func SpeaksHTTP(s *v1beta2.Serving) bool {
	return strings.HasPrefix(strings.ToLower(PodAnnotations(s)[AnnotationAppProtocol]), "http")
}
