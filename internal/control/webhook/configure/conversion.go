package configure

import (
	"context"
	"encoding/json"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta1"
)

// Definitions are those whose kinds are converted.
func Definitions() []string {
	group := "." + v1beta1.GroupVersion.Group
	return []string{"builders" + group, "functions" + group, "servings" + group}
}

// convert has the API server convert between versions with the webhook. There is one conversion for the whole cluster: an operator of one
// namespace leaves another's as it is.
func (c *Controller) convert(ctx context.Context, e endpoint) error {
	for _, name := range Definitions() {
		found := &apiextensionsv1.CustomResourceDefinition{}
		if err := c.client.Get(ctx, client.ObjectKey{Name: name}, found); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("reading the definition %s: %w", name, err)
		} else if err != nil || found.DeletionTimestamp != nil {
			continue
		}
		wanted := found.DeepCopy()
		e.PatchConversion(wanted)
		if wanted.Spec.Conversion == nil || wanted.Spec.Conversion.Webhook == nil { // one version
			continue
		}
		if injected(found) {
			wanted.Spec.Conversion.Webhook.ClientConfig.CABundle = bundle(found.Spec.Conversion)
			c.trusts(e, name, bundle(found.Spec.Conversion))
		}
		if equality.Semantic.DeepEqual(found.Spec.Conversion, wanted.Spec.Conversion) {
			continue
		}
		if c.opt.Namespace != "" && !ours(found.Spec.Conversion, wanted.Spec.Conversion) {
			c.opt.Log.Debug("another operator converts between versions", "definition", name)
			continue
		}
		if err := c.patch(ctx, found, wanted.Spec.Conversion); err != nil {
			return fmt.Errorf("setting the conversion of %s: %w", name, err)
		}
		c.opt.Log.Info("the API server is told where versions are converted", "definition", name)
	}
	return nil
}

func leads(c *apiextensionsv1.CustomResourceConversion) *apiextensionsv1.WebhookClientConfig {
	if c == nil || c.Webhook == nil {
		return nil
	}
	return c.Webhook.ClientConfig
}

func bundle(c *apiextensionsv1.CustomResourceConversion) []byte {
	if config := leads(c); config != nil {
		return config.CABundle
	}
	return nil
}

// ours says whether a conversion is nobody's, or leads where it should.
func ours(found, wanted *apiextensionsv1.CustomResourceConversion) bool {
	was, should := leads(found), leads(wanted)
	return was == nil || equality.Semantic.DeepEqual(was.URL, should.URL) && equality.Semantic.DeepEqual(was.Service, should.Service)
}

// patch replaces the whole conversion and nothing else: the definition that was read has no schemas. It fails if the definition has
// changed since.
func (c *Controller) patch(ctx context.Context, found *apiextensionsv1.CustomResourceDefinition, conversion *apiextensionsv1.CustomResourceConversion) error {
	config := conversion.Webhook.ClientConfig
	clientConfig := map[string]any{"url": config.URL, "service": config.Service, "caBundle": config.CABundle} // null takes away
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": found.ResourceVersion},
		"spec": map[string]any{"conversion": map[string]any{"strategy": conversion.Strategy,
			"webhook": map[string]any{"clientConfig": clientConfig, "conversionReviewVersions": conversion.Webhook.ConversionReviewVersions}}},
	})
	if err != nil {
		return fmt.Errorf("encoding a patch: %w", err)
	}
	return c.client.Patch(ctx, &apiextensionsv1.CustomResourceDefinition{ObjectMeta: found.ObjectMeta}, client.RawPatch(types.MergePatchType, patch))
}
