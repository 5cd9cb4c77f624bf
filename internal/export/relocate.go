package export

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/image"
)

// relocate makes the copy of a Function name images where the target finds them, and notes those that must be moved.
func (x *collector) relocate(ctx context.Context, o, c *unstructured.Unstructured) error {
	var fn v1beta2.Function
	if err := decode(o, &fn); err != nil {
		return err
	}
	if x.Prebuilt && fn.Spec.Build != nil {
		unstructured.RemoveNestedField(c.Object, "spec", "build")
		if err := x.channel(c, &fn); err != nil {
			return err
		}
		if fn.Status.Revision == nil || fn.Status.Revision.ImageDigest == "" {
			x.warn(o, "has no image yet: it was not built to the end; build it first, or export its source (without --prebuilt)")
		} else if ref, err := image.ParseRef(fn.Spec.Image); err == nil {
			if err := set(c, ref.Name()+"@"+fn.Status.Revision.ImageDigest, "spec", "image"); err != nil {
				return err
			}
		}
	}
	places := [][]string{{"spec", "build", "srcRepo", "bundleContainer", "image"}}
	if _, built, _ := unstructured.NestedMap(c.Object, "spec", "build"); built {
		if err := x.output(c); err != nil {
			return err
		}
	} else {
		places = append(places, []string{"spec", "image"})
	}
	for _, at := range places {
		if err := x.moved(ctx, c, at...); err != nil {
			return err
		}
	}
	return x.containers(ctx, c)
}

// channel tells a cluster how Dapr's sidecar calls an image that ofn built: over HTTP, which every framework of ofn speaks. Nothing on a
// cluster knows where an image is from, and OpenFunction's speak gRPC.
func (x *collector) channel(c *unstructured.Unstructured, fn *v1beta2.Function) error {
	const protocol = "dapr.io/app-protocol"
	s, b := fn.Spec.Serving, fn.Spec.Build
	image := b.Builder != nil && strings.Contains(*b.Builder, "/")
	if x.Target != Cluster || s == nil || s.Triggers == nil || len(s.Triggers.Dapr) == 0 || b.Dockerfile != nil || image ||
		s.Annotations[protocol] != "" || fn.Annotations[protocol] != "" {
		return nil
	}
	return set(c, "http", "spec", "serving", "annotations", protocol)
}

// moved is an image that is there already, by its digest.
func (x *collector) moved(ctx context.Context, c *unstructured.Unstructured, at ...string) error {
	written, ok, _ := unstructured.NestedString(c.Object, at...)
	if !ok || written == "" {
		return nil
	}
	to, moves, err := x.move(ctx, c, written)
	if err != nil || !moves {
		return err
	}
	if err := set(c, to, at...); err != nil || x.Registry == "" || x.Credentials == "" {
		return err
	}
	secret := append(append([]string{}, at[:len(at)-1]...), "imageCredentials", "name")
	if at[len(at)-2] == "bundleContainer" {
		secret = append(append([]string{}, at[:len(at)-2]...), "credentials", "name")
	}
	return set(c, x.Credentials, secret...)
}

// containers are the other containers of the pod template.
func (x *collector) containers(ctx context.Context, c *unstructured.Unstructured) error {
	for _, list := range []string{"containers", "initContainers"} {
		all, ok, _ := unstructured.NestedSlice(c.Object, "spec", "serving", "template", list)
		for _, each := range all {
			container, _ := each.(map[string]any)
			written, _ := container["image"].(string)
			if written == "" {
				continue
			}
			to, moves, err := x.move(ctx, c, written)
			if err != nil {
				return err
			}
			if moves {
				container["image"] = to
			}
		}
		if ok {
			if err := unstructured.SetNestedSlice(c.Object, all, "spec", "serving", "template", list); err != nil {
				return fmt.Errorf("writing the template: %w", err)
			}
		}
	}
	return nil
}

// move decides about one image that is run or built from, and returns its name at the target.
func (x *collector) move(ctx context.Context, c *unstructured.Unstructured, written string) (to string, moves bool, err error) {
	ref, err := image.ParseRef(written)
	if err != nil {
		x.warn(c, "%v", err)
		return written, false, nil
	}
	own := ref.Host == image.LocalHost
	if x.own == nil {
		if x.Kept { // a cluster's images come from where they are
			x.bundle.Images = append(x.bundle.Images, Image{From: written, To: written})
		}
		return written, false, nil
	}
	digest, err := x.own.Digest(ctx, written)
	switch {
	case err != nil:
		return written, false, err
	case digest == "" && own:
		x.warn(c, "image %s is not in the registry of this machine (any more): build it again, then export", written)
		return written, false, nil
	case digest == "":
		return written, false, nil // the target gets it where this machine does
	case x.Registry != "":
		to = x.Registry + "/" + ref.LocalRepo() + "@" + digest
		x.bundle.Images = append(x.bundle.Images, Image{From: ref.Name() + "@" + digest, To: to})
		return to, true, nil
	case x.Kept:
		x.bundle.Images = append(x.bundle.Images, Image{From: ref.Name() + "@" + digest, To: ref.Name() + "@" + digest})
		if x.Target == Machine {
			return ref.Name() + "@" + digest, true, nil // a tag may be another's there
		}
	}
	if x.Target == Cluster && own {
		x.warn(c, "image %s is only in the registry of this machine: give a registry that the cluster can reach with --registry", written)
	}
	return written, false, nil
}

// output is the image that the target will build.
func (x *collector) output(c *unstructured.Unstructured) error {
	written, _, _ := unstructured.NestedString(c.Object, "spec", "image")
	ref, err := image.ParseRef(written)
	if err != nil || ref.Host != image.LocalHost || x.Target != Cluster {
		return nil // admission has more to say of it
	}
	if x.Registry == "" {
		x.warn(c, "is built into %s, the registry of this machine: give one that the cluster can push to with --registry", written)
		return nil
	}
	to := x.Registry + "/" + ref.LocalRepo()
	if ref.Tag != "" {
		to += ":" + ref.Tag
	}
	if err := set(c, to, "spec", "image"); err != nil {
		return err
	}
	if x.Credentials != "" {
		return set(c, x.Credentials, "spec", "imageCredentials", "name")
	}
	if secret, _, _ := unstructured.NestedString(c.Object, "spec", "imageCredentials", "name"); secret == "" {
		x.warn(c, "is built and pushed to %s without credentials: where that registry wants them, name a secret with --push-secret", to)
	}
	return nil
}

func set(o *unstructured.Unstructured, value string, at ...string) error {
	if err := unstructured.SetNestedField(o.Object, value, at...); err != nil {
		return fmt.Errorf("writing %s: %w", strings.Join(at, "."), err)
	}
	return nil
}
