package oracle

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openfunction/ofn/internal/scale"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	scalefake "k8s.io/client-go/scale/fake"
	core "k8s.io/client-go/testing"
	"k8s.io/klog/v2"
	defaults "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	metricsclient "k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
)

// cluster is what the real HorizontalPodAutoscaler sees. Each time that it asks for the metric, ours is asked as well.
type cluster struct {
	metricsclient.MetricsClient // nothing else is asked for
	replicas                    int32
	value                       float64
	err                         error
	target                      scale.Value
	ours                        *scale.Lag
	asked                       int
}

func (c *cluster) GetExternalMetric(string, string, labels.Selector) ([]int64, time.Time, error) {
	v := c.target
	v.Sum = c.value
	c.asked++
	n := int(c.replicas)
	c.ours.Sync(time.Now(), []scale.Reading{{Trigger: "q", Values: []scale.Value{v}, Err: c.err}}, n, n)
	return []int64{int64(math.Round(c.value * 1000))}, time.Now(), c.err
}

// behaviour draws rules of one direction, as both want them.
func behaviour(r *rand.Rand) (*autoscalingv2.HPAScalingRules, *scale.Rules) {
	theirs, ours := &autoscalingv2.HPAScalingRules{}, &scale.Rules{}
	if r.IntN(2) == 0 {
		s := int32(r.IntN(8)) * 20
		d := time.Duration(s) * time.Second
		theirs.StabilizationWindowSeconds, ours.Window = &s, &d
	}
	if r.IntN(2) == 0 {
		p := []autoscalingv2.ScalingPolicySelect{"Max", "Min", "Disabled"}[r.IntN(3)]
		theirs.SelectPolicy, ours.Select = &p, scale.Select(p)
	}
	if r.IntN(3) == 0 {
		t := resource.MustParse(fmt.Sprintf("%.2f", float64(r.IntN(30))/100))
		f := t.AsApproximateFloat64()
		theirs.Tolerance, ours.Tolerance = &t, &f
	}
	for range r.IntN(3) {
		p := autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: int32(1 + r.IntN(6)), PeriodSeconds: int32(5 + r.IntN(100))}
		if r.IntN(2) == 0 {
			p.Type, p.Value = autoscalingv2.PercentScalingPolicy, int32(1+r.IntN(150))
		}
		theirs.Policies = append(theirs.Policies, p)
		ours.Rates = append(ours.Rates, scale.Rate{Percent: p.Type == autoscalingv2.PercentScalingPolicy, Value: int(p.Value), Period: time.Duration(p.PeriodSeconds) * time.Second})
	}
	return theirs, ours
}

// subject draws an autoscaler and the policy that says the same.
func subject(r *rand.Rand) (*autoscalingv2.HorizontalPodAutoscaler, scale.LagPolicy, scale.Value) {
	low, most := int32(1+r.IntN(3)), int32(10+r.IntN(40))
	value := scale.Value{Target: float64(1 + r.IntN(9)), PerCopy: r.IntN(3) > 0}
	target := autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType}
	q := resource.NewMilliQuantity(int64(value.Target*1000), resource.DecimalSI)
	if target.Value = q; value.PerCopy {
		target = autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: q}
	}
	h := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "h"}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "d"}, MinReplicas: &low, MaxReplicas: most,
		Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: "q", Selector: &metav1.LabelSelector{}}, Target: target}}},
	}}
	p := scale.LagPolicy{Min: int(low), Max: int(most)}
	if r.IntN(4) > 0 {
		h.Spec.Behavior = &autoscalingv2.HorizontalPodAutoscalerBehavior{}
		h.Spec.Behavior.ScaleUp, p.Up = behaviour(r)
		h.Spec.Behavior.ScaleDown, p.Down = behaviour(r)
	}
	defaults.SetDefaults_HorizontalPodAutoscaler(h)
	return h, p, value
}

// TestSameReplicas runs the real HorizontalPodAutoscaler in virtual time over random behaviours and loads, and demands the same
// number of copies from ours after each of its decisions.
func TestSameReplicas(t *testing.T) {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	before := utilruntime.ErrorHandlers
	utilruntime.ErrorHandlers = nil // one of them sleeps for as long as virtual time is behind the real one
	defer func() { utilruntime.ErrorHandlers = before }()
	for seed := range uint64(24) {
		synctest.Test(t, func(t *testing.T) { sameReplicas(t, rand.New(rand.NewPCG(seed, 2)), seed) })
	}
}

func sameReplicas(t *testing.T, r *rand.Rand, seed uint64) {
	ctx, cancel := context.WithCancel(t.Context())
	h, p, value := subject(r)
	c := &cluster{replicas: *h.Spec.MinReplicas, target: value}
	var err error
	if c.ours, err = scale.NewLag(p, time.Now(), int(c.replicas)); err != nil {
		t.Fatal(err)
	}
	client := fake.NewClientset(h)
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods()
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Group: "apps", Version: "v1"}})
	mapper.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, meta.RESTScopeNamespace)
	controller := podautoscaler.NewHorizontalController(ctx, client.CoreV1(), c.scales(), client.AutoscalingV2(), mapper, c,
		factory.Autoscaling().V2().HorizontalPodAutoscalers(), pods, scale.LagSync, 5*time.Minute, 0.1, 5*time.Minute, 30*time.Second)
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	ended := make(chan struct{})
	go func() { defer close(ended); controller.Run(ctx, 1) }()
	defer func() { cancel(); <-ended; factory.Shutdown() }()
	loads := load(r, 120)
	for step, v := range loads {
		if c.value = math.Floor(max(0, v)*1000) / 1000; r.IntN(10) > 0 {
			c.err = nil
		} else {
			c.err = fmt.Errorf("no answer at step %d", step)
		}
		c.populate(pods.Informer().GetIndexer())
		time.Sleep(scale.LagSync)
		synctest.Wait()
		if got := c.ours.Want(); got != int(c.replicas) {
			t.Fatalf("seed %d, step %d, load %v, behaviour %+v: ours wants %d, the HPA %d", seed, step, v, h.Spec.Behavior, got, c.replicas)
		}
	}
	if c.asked < len(loads)-2 {
		t.Errorf("seed %d: the HPA asked %d times in %d periods", seed, c.asked, len(loads))
	}
}

// scales is the scale subresource.
func (c *cluster) scales() *scalefake.FakeScaleClient {
	s := &scalefake.FakeScaleClient{}
	object := func() *autoscalingv1.Scale {
		return &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "d"}, Spec: autoscalingv1.ScaleSpec{Replicas: c.replicas},
			Status: autoscalingv1.ScaleStatus{Replicas: c.replicas, Selector: "app=d"}}
	}
	s.AddReactor("get", "deployments", func(core.Action) (bool, runtime.Object, error) { return true, object(), nil })
	s.AddReactor("update", "deployments", func(a core.Action) (bool, runtime.Object, error) {
		c.replicas = a.(core.UpdateAction).GetObject().(*autoscalingv1.Scale).Spec.Replicas
		return true, object(), nil
	})
	return s
}

// populate makes as many ready pods as there are replicas.
func (c *cluster) populate(store interface {
	Replace([]any, string) error
}) {
	all := make([]any, c.replicas)
	for i := range all {
		all[i] = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: fmt.Sprintf("d-%d", i), Labels: map[string]string{"app": "d"}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
	}
	if err := store.Replace(all, ""); err != nil {
		panic(err)
	}
}
