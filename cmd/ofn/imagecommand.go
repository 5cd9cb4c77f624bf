package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/spf13/cobra"

	"github.com/openfunction/ofn/internal/image/assemble"
	"github.com/openfunction/ofn/internal/install"
)

// imaging is what `ofn image` can be told.
type imaging struct {
	push, output, tag, certificates, onto string
	binaries                              []string
	plainHTTP                             bool
}

func imageCommand() *cobra.Command {
	var i imaging
	cmd := &cobra.Command{
		Use:   "image --push REGISTRY/ofn:TAG | --output FILE",
		Short: "Make the image that the operator runs from on a cluster, of this program",
		Long: `Make the image that the operator runs from on a cluster: this program, authorities of certificates, and a user who is not root.
It is pushed to a registry, with the credentials of ~/.docker/config.json, or written as an archive that docker load, ctr images
import and the like take. The same program and authorities make the same image. No container engine is needed.

With several --binary, one for each architecture of the cluster's nodes, each of which tells its own, what is pushed is an index: a node
takes the image of its architecture.`,
		Example: "  ofn image --push registry.example.com/ofn:1.0\n  ofn image --output ofn.tar --tag registry.example.com/ofn:1.0\n  ofn image --binary ofn-linux-amd64 --binary ofn-linux-arm64 --push registry.example.com/ofn:1.0",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return i.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&i.push, "push", "", "reference to push the image to")
	f.StringVar(&i.output, "output", "", "archive to write the image to")
	f.StringVar(&i.tag, "tag", "", "reference of the image in the archive (default: ofn:VERSION)")
	f.StringArrayVar(&i.binaries, "binary", nil, "static program for Linux to pack (default: this one); repeatable, one for each architecture")
	f.StringVar(&i.certificates, "certificates", "", "PEM file with the authorities that the operator trusts beside the cluster's (default: this machine's)")
	f.StringVar(&i.onto, "onto", "", "add this program to that image of a function instead, for warm pods of functions over the same layers")
	f.BoolVar(&i.plainHTTP, "plain-http", false, "the registry has no TLS")
	return cmd
}

func (i *imaging) run(ctx context.Context, out io.Writer) error {
	if i.push == "" && i.output == "" {
		return errors.New("say where the image is to go: --push REGISTRY/ofn:TAG, or --output FILE")
	}
	if len(i.binaries) > 1 {
		return i.several(ctx, out)
	}
	image, err := i.make(ctx)
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return fmt.Errorf("making the image: %w", err)
	}
	if i.output != "" {
		if err := i.write(image); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s written, %s\n", i.output, digest)
	}
	if i.push == "" {
		return nil
	}
	at, err := i.reference(i.push)
	if err != nil {
		return err
	}
	if err := remote.Write(at, image, i.options(ctx)...); err != nil {
		return i.refused(at, err)
	}
	fmt.Fprintf(out, "%s pushed, %s\n", i.push, digest)
	return nil
}

func (i *imaging) options(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithUserAgent("ofn/" + version)}
}

// refused says what to do when a registry does not take an image.
func (i *imaging) refused(at name.Tag, err error) error {
	var answer *transport.Error
	if errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden) {
		return fmt.Errorf("the registry does not let you push %s: log in with `docker login %s`: %w", i.push, at.RegistryStr(), err)
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") { // net/http has no type for it
		return fmt.Errorf("pushing %s: the registry has no TLS: give --plain-http", i.push)
	}
	return fmt.Errorf("pushing %s: %w", i.push, err)
}

// several pushes images of more than one architecture under one name.
func (i *imaging) several(ctx context.Context, out io.Writer) error {
	switch {
	case i.output != "":
		return errors.New("an archive holds the image of one architecture: give --binary once for each --output, or --push")
	case i.onto != "":
		return errors.New("--onto lays one program over an image: give --binary once")
	}
	certificates, err := i.authorities()
	if err != nil {
		return fmt.Errorf("reading the authorities of certificates: %w", err)
	}
	index, err := install.Index(i.binaries, version, certificates)
	if err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return fmt.Errorf("making the index: %w", err)
	}
	at, err := i.reference(i.push)
	if err != nil {
		return err
	}
	if err := remote.WriteIndex(at, index, i.options(ctx)...); err != nil {
		return i.refused(at, err)
	}
	fmt.Fprintf(out, "%s pushed for %d architectures, %s\n", i.push, len(i.binaries), digest)
	return nil
}

func (i *imaging) make(ctx context.Context) (v1.Image, error) {
	binary := strings.Join(i.binaries, "") // one at most
	if binary == "" {
		own, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("finding this program: %w; name one with --binary", err)
		}
		binary = own
	}
	if i.onto != "" {
		return i.laid(ctx, binary)
	}
	certificates, err := i.authorities()
	if err != nil {
		return nil, fmt.Errorf("reading the authorities of certificates: %w", err)
	}
	return install.Image(binary, version, certificates)
}

// laid is an image of a function with the program over it.
func (i *imaging) laid(ctx context.Context, binary string) (v1.Image, error) {
	var options []name.Option
	if i.plainHTTP {
		options = append(options, name.Insecure)
	}
	at, err := name.ParseReference(i.onto, options...)
	if err != nil {
		return nil, fmt.Errorf("reading the reference %s: %w", i.onto, err)
	}
	base, err := remote.Image(at, i.options(ctx)...)
	if err != nil {
		return nil, fmt.Errorf("pulling %s: %w", i.onto, err)
	}
	return install.Onto(base, binary)
}

func (i *imaging) authorities() ([]byte, error) {
	if i.certificates != "" {
		return os.ReadFile(i.certificates)
	}
	return assemble.HostCertificates()
}

func (i *imaging) write(image v1.Image) error {
	tag := i.tag
	if tag == "" {
		tag = i.push
	}
	if tag == "" {
		tag = "ofn:" + version
	}
	at, err := i.reference(tag)
	if err != nil {
		return err
	}
	if err := tarball.WriteToFile(i.output, at, image); err != nil {
		return fmt.Errorf("writing %s: %w", i.output, err)
	}
	return nil
}

func (i *imaging) reference(s string) (name.Tag, error) {
	var options []name.Option
	if i.plainHTTP {
		options = append(options, name.Insecure)
	}
	at, err := name.NewTag(s, options...)
	if err != nil {
		return name.Tag{}, fmt.Errorf("reading the reference %s: %w", s, err)
	}
	return at, nil
}
