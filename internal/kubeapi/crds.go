package kubeapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"
	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsinformers "k8s.io/apiextensions-apiserver/pkg/client/informers/externalversions/apiextensions/v1"
	apiextensionslisters "k8s.io/apiextensions-apiserver/pkg/client/listers/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// installedCRD remembers what was applied. Applying a definition costs tens of milliseconds even when nothing changes, since its
// schemas are compiled; one whose source and whose spec on the server are both as they were left is skipped.
type installedCRD struct {
	UID        string `json:"uid"`
	Generation int64  `json:"generation"` // of the spec on the server
	SHA256     string `json:"sha256"`     // of the source
}

// installCRDs returns when all are served: their objects can be read and written.
func (in *installer) installCRDs(ctx context.Context, crds []*apiextensionsv1.CustomResourceDefinition, informer apiextensionsinformers.CustomResourceDefinitionInformer) error {
	if len(crds) == 0 {
		return nil
	}
	changes, stop, err := watchCRDs(informer)
	if err != nil {
		return err
	}
	defer stop()
	before, err := readInstalled(in.record)
	if err != nil {
		return err
	}
	after := make(map[string]installedCRD, len(crds))
	group, applying := errgroup.WithContext(ctx)
	group.SetLimit(parallelApplies)
	for _, crd := range crds {
		sum, err := checksum(crd)
		if err != nil {
			return err
		}
		after[crd.Name] = installedCRD{SHA256: sum}
		if live, err := informer.Lister().Get(crd.Name); err == nil && before[crd.Name] == installedAs(live, sum) {
			continue
		}
		group.Go(func() error { return in.applyCRD(applying, crd) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	reapply := func(name string) error {
		at := slices.IndexFunc(crds, func(crd *apiextensionsv1.CustomResourceDefinition) bool { return crd.Name == name })
		return in.applyCRD(ctx, crds[at])
	}
	if err := awaitEstablished(ctx, informer.Lister(), changes, after, reapply); err != nil {
		return err
	}
	return writeInstalled(in.record, before, after)
}

func (in *installer) applyCRD(ctx context.Context, crd *apiextensionsv1.CustomResourceDefinition) error {
	crd = crd.DeepCopy()
	crd.TypeMeta = metav1.TypeMeta{APIVersion: apiextensionsv1.SchemeGroupVersion.String(), Kind: "CustomResourceDefinition"}
	return in.apply(ctx, located{apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions"), crd})
}

// watchCRDs tells of every change of a definition in the cache of the server that serves them, so that what is seen here is served.
func watchCRDs(informer apiextensionsinformers.CustomResourceDefinitionInformer) (changes <-chan struct{}, stop func(), err error) {
	changed := make(chan struct{}, 1)
	wake := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { wake() }, UpdateFunc: func(any, any) { wake() }, DeleteFunc: func(any) { wake() },
	})
	if err != nil {
		return nil, nil, fmt.Errorf("watching custom resource definitions: %w", err)
	}
	return changed, func() { _ = informer.Informer().RemoveEventHandler(handler) }, nil // fails only when the informer has ended
}

// awaitEstablished completes the records. A definition whose deletion was under way when the server stopped is applied again once it
// is gone.
func awaitEstablished(ctx context.Context, lister apiextensionslisters.CustomResourceDefinitionLister, changes <-chan struct{},
	records map[string]installedCRD, reapply func(name string) error) error {
	leaving := map[string]bool{}
	for {
		missing, err := notEstablished(lister, records, leaving)
		if missing == "" || err != nil {
			return err
		}
		if _, err := lister.Get(missing); leaving[missing] && apierrors.IsNotFound(err) {
			delete(leaving, missing)
			if err := reapply(missing); err != nil {
				return err
			}
		}
		select {
		case <-changes:
		case <-ctx.Done():
			return fmt.Errorf("waiting for custom resource definition %s to be established: %w", missing, context.Cause(ctx))
		}
	}
}

// notEstablished names a definition that is not served yet, and notes those that are being deleted; names that another one holds are
// an error.
func notEstablished(lister apiextensionslisters.CustomResourceDefinitionLister, records map[string]installedCRD, leaving map[string]bool) (string, error) {
	for name, record := range records {
		crd, err := lister.Get(name)
		if apierrors.IsNotFound(err) {
			return name, nil
		}
		if err != nil {
			return "", fmt.Errorf("reading custom resource definition %s: %w", name, err)
		}
		if crd.DeletionTimestamp != nil {
			leaving[name] = true
			return name, nil
		}
		refused := apihelpers.FindCRDCondition(crd, apiextensionsv1.NamesAccepted)
		if refused != nil && refused.Status == apiextensionsv1.ConditionFalse {
			return "", fmt.Errorf("custom resource definition %s is refused: %s", name, refused.Message)
		}
		if !apihelpers.IsCRDConditionTrue(crd, apiextensionsv1.Established) {
			return name, nil
		}
		records[name] = installedAs(crd, record.SHA256)
	}
	return "", nil
}

func installedAs(live *apiextensionsv1.CustomResourceDefinition, sum string) installedCRD {
	return installedCRD{UID: string(live.UID), Generation: live.Generation, SHA256: sum}
}

func checksum(object any) (string, error) {
	content, err := json.Marshal(object)
	if err != nil {
		return "", fmt.Errorf("encoding a custom resource definition: %w", err)
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]), nil
}

// readInstalled is empty where there is no record or none that can be read: everything is applied then.
func readInstalled(path string) (map[string]installedCRD, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the record of installed definitions: %w", err)
	}
	var records map[string]installedCRD
	if json.Unmarshal(content, &records) != nil {
		return nil, nil
	}
	return records, nil
}

func writeInstalled(path string, before, after map[string]installedCRD) error {
	if maps.Equal(before, after) {
		return nil
	}
	content, err := json.MarshalIndent(after, "", "\t")
	if err != nil {
		return fmt.Errorf("encoding the record of installed definitions: %w", err)
	}
	return writeFile(path, content, 0o600)
}
