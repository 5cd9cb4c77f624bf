package configure

import (
	"context"
	"slices"
	"strings"

	admissionregv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// injected says whether cert-manager keeps the bundle of an object.
func injected(o client.Object) bool {
	for name := range o.GetAnnotations() {
		if strings.HasPrefix(name, "cert-manager.io/inject-") {
			return true
		}
	}
	return false
}

func labels() map[string]string {
	return map[string]string{"app.kubernetes.io/managed-by": "ofn-operator"}
}

// namespaces selects those whose objects are looked at.
func (c *Controller) namespaces() *metav1.LabelSelector {
	if c.opt.Namespace == "" {
		return &metav1.LabelSelector{}
	}
	return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: c.opt.Namespace}}
}

// foreign says whether rules are for kinds that are not looked at: those of others and, by an operator of one namespace, those that are
// in none.
func (c *Controller) foreign(rules []admissionregv1.RuleWithOperations) bool {
	return slices.ContainsFunc(rules, func(r admissionregv1.RuleWithOperations) bool {
		return !strings.HasSuffix(r.APIGroups[0], group) || c.opt.Namespace != "" && *r.Scope == admissionregv1.ClusterScope
	})
}

// scopeMutating leaves what is ours, with every field set that the API server would set.
func (c *Controller) scopeMutating(w *admissionregv1.MutatingWebhookConfiguration) {
	w.Labels = labels()
	w.Webhooks = slices.DeleteFunc(w.Webhooks, func(h admissionregv1.MutatingWebhook) bool { return c.foreign(h.Rules) })
	for i := range w.Webhooks {
		h := &w.Webhooks[i]
		h.NamespaceSelector, h.ObjectSelector, h.ReinvocationPolicy = c.namespaces(), &metav1.LabelSelector{}, new(admissionregv1.NeverReinvocationPolicy)
	}
}

func (c *Controller) scopeValidating(w *admissionregv1.ValidatingWebhookConfiguration) {
	w.Labels = labels()
	w.Webhooks = slices.DeleteFunc(w.Webhooks, func(h admissionregv1.ValidatingWebhook) bool { return c.foreign(h.Rules) })
	for i := range w.Webhooks {
		w.Webhooks[i].NamespaceSelector, w.Webhooks[i].ObjectSelector = c.namespaces(), &metav1.LabelSelector{}
	}
}

// keep makes a configuration, or repairs it. Annotations and labels of others stay, and bundles that cert-manager keeps.
func (c *Controller) keep(ctx context.Context, wanted, found client.Object, e endpoint) error {
	if err := c.reader.Get(ctx, client.ObjectKeyFromObject(wanted), found); client.IgnoreNotFound(err) != nil {
		return err
	} else if err != nil {
		return c.client.Create(ctx, wanted)
	}
	if injected(found) {
		theirs := clients(found)
		for name, config := range clients(wanted) {
			config.CABundle = nil
			if there := theirs[name]; there != nil {
				config.CABundle = there.CABundle
				c.trusts(e, wanted.GetName(), config.CABundle)
			}
		}
	}
	if equality.Semantic.DeepEqual(hooks(found), hooks(wanted)) {
		return nil
	}
	replace(found, wanted)
	return c.client.Update(ctx, found)
}

// hooks are the webhooks of a configuration of either kind.
func hooks(configuration client.Object) any {
	switch x := configuration.(type) {
	case *admissionregv1.MutatingWebhookConfiguration:
		return x.Webhooks
	case *admissionregv1.ValidatingWebhookConfiguration:
		return x.Webhooks
	}
	return nil
}

// replace changes found, which the reader has copied, and whose kind is wanted's.
func replace(found, wanted client.Object) {
	switch x := found.(type) {
	case *admissionregv1.MutatingWebhookConfiguration:
		x.Webhooks, _ = hooks(wanted).([]admissionregv1.MutatingWebhook)
	case *admissionregv1.ValidatingWebhookConfiguration:
		x.Webhooks, _ = hooks(wanted).([]admissionregv1.ValidatingWebhook)
	}
}

// clients say by the name of each webhook where the API server finds it.
func clients(configuration client.Object) map[string]*admissionregv1.WebhookClientConfig {
	out := map[string]*admissionregv1.WebhookClientConfig{}
	switch x := configuration.(type) {
	case *admissionregv1.MutatingWebhookConfiguration:
		for i := range x.Webhooks {
			out[x.Webhooks[i].Name] = &x.Webhooks[i].ClientConfig
		}
	case *admissionregv1.ValidatingWebhookConfiguration:
		for i := range x.Webhooks {
			out[x.Webhooks[i].Name] = &x.Webhooks[i].ClientConfig
		}
	}
	return out
}

// trusts warns of a bundle that cert-manager keeps, and with which nothing can work.
func (c *Controller) trusts(e endpoint, name string, bundle []byte) {
	if len(bundle) == 0 {
		return // those of the API server's machine, or not injected yet
	}
	authorities, err := cert.ParseCertsPEM(bundle)
	if err == nil {
		err = e.material.TrustedBy(authorities, c.opt.Clock.Now(), c.opt.Names)
	}
	if err != nil {
		c.opt.Log.Warn("the authorities that cert-manager puts there do not go with the certificate of the webhooks: take the annotation cert-manager.io/inject-... away, or let cert-manager write the Secret too",
			"object", name, "secret", c.opt.Secret, "err", err)
	}
}
