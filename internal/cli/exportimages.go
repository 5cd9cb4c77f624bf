package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/internal/cli/progress"
	"github.com/openfunction/ofn/internal/export"
)

// exported is what -o prints of an export.
type exported struct {
	Objects  []exportedObject `json:"objects"`
	Images   []export.Sent    `json:"images,omitempty"`
	Missing  []export.Missing `json:"missing,omitempty"`
	Warnings []export.Warning `json:"warnings,omitempty"`
}

type exportedObject struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	File      string `json:"file"`
}

func summaryOf(b *export.Bundle) *exported {
	out := &exported{Objects: []exportedObject{}, Missing: b.Missing, Warnings: b.Warnings}
	for _, o := range b.Objects {
		out.Objects = append(out.Objects, exportedObject{o.GetKind(), o.GetNamespace(), o.GetName(), export.File(o)})
	}
	return out
}

// transfer has the way to the machine's own registry, when the control plane is a machine's, and the logins of the others.
func (s *session) transfer(ctx context.Context, e *exporting) (*export.Transfer, error) {
	t := &export.Transfer{Logins: authn.DefaultKeychain, UserAgent: "ofn/" + s.app.env.Version, PlainHTTP: e.plainHTTP}
	machine, err := s.Machine(ctx)
	if err != nil {
		return nil, err
	}
	if machine {
		t.Own = toServer{s.HTTP.Transport, s.URL}
	}
	if e.Credentials == "" {
		return t, nil
	}
	secret := &corev1.Secret{}
	switch err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: e.Credentials}, secret); {
	case apierrors.IsNotFound(err):
		return t, nil
	case err != nil:
		return nil, fmt.Errorf("reading secret %s: %w", e.Credentials, err)
	}
	var file struct {
		Auths logins `json:"auths"`
	}
	if err := json.Unmarshal(secret.Data[corev1.DockerConfigJsonKey], &file); err != nil || secret.Type != corev1.SecretTypeDockerConfigJson {
		return nil, fmt.Errorf("secret %s is none for registries: make it with `kubectl create secret docker-registry`", e.Credentials)
	}
	t.Logins = authn.NewMultiKeychain(file.Auths, t.Logins)
	return t, nil
}

// logins of a secret, by host.
type logins map[string]authn.AuthConfig

// Resolve implements authn.Keychain.
func (l logins) Resolve(r authn.Resource) (authn.Authenticator, error) {
	hosts := []string{r.RegistryStr(), "https://" + r.RegistryStr()}
	if r.RegistryStr() == name.DefaultRegistry {
		hosts = append(hosts, authn.DefaultAuthKey, "docker.io")
	}
	for _, host := range hosts {
		if c, ok := l[host]; ok {
			return authn.FromConfig(c), nil
		}
	}
	return authn.Anonymous, nil
}

// copyImages sends the images one after the other.
func (s *session) copyImages(ctx context.Context, images []export.Image, t *export.Transfer, sum *exported) error {
	display := progress.New(s.app.env.Err, s.app.env.Terminal, clock.RealClock{})
	defer display.Close()
	for _, i := range images {
		begin := time.Now()
		display.Step("copying %s", i.From)
		sent, err := t.Push(ctx, i)
		if err != nil {
			return err
		}
		sum.Images = append(sum.Images, sent)
		if sent.There {
			display.Line("%s is there already", i.To)
			continue
		}
		display.Line("copied %s to %s (%s) in %s", i.From, i.To, humanize.IBytes(uint64(sent.Bytes)), progress.Duration(time.Since(begin)))
	}
	return nil
}

func (s *session) printDry(e *exporting, b *export.Bundle, sum *exported) error {
	if e.output != "" {
		for _, i := range b.Images {
			sum.Images = append(sum.Images, export.Sent{Image: i})
		}
		return s.app.print(e.output, sum)
	}
	for _, o := range sum.Objects {
		fmt.Fprintf(s.app.env.Out, "%s (dry run)\n", o.File)
	}
	for _, i := range b.Images {
		fmt.Fprintf(s.app.env.Out, "image %s to %s (dry run)\n", i.From, i.To)
	}
	return nil
}

// printObjects writes the manifests to the standard output.
func (s *session) printObjects(e *exporting, b *export.Bundle) error {
	if e.output != "json" {
		return b.Stream(s.app.env.Out)
	}
	items := make([]any, len(b.Objects))
	for i, o := range b.Objects {
		items[i] = o.Object
	}
	return s.app.print("json", map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
}

func (a *app) importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import DIR",
		Short: "Put the images of an export into the registry of this machine",
		Long: `Put the images of an export (ofn export --images) into the registry of this machine, under the names that they have: the manifests
beside them, which ofn apply -k DIR applies, find them there.`,
		Example: "  ofn import back\n  ofn apply -k back",
		Args:    cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
	cmd.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		t, err := s.transfer(ctx, &exporting{})
		if err != nil {
			return err
		}
		if t.Own == nil {
			return fmt.Errorf("import fills the registry of one machine, and %s is a cluster: let `ofn export --registry HOST/PREFIX` copy the images to a registry of yours, and apply its manifests", s.URL)
		}
		return t.ImportAll(ctx, args[0], func(name string) { fmt.Fprintf(a.env.Out, "imported %s\n", name) })
	})
	return cmd
}
