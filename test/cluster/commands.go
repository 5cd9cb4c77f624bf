package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openfunction/ofn/test/cluster/internal/engine"
	"github.com/openfunction/ofn/test/cluster/internal/image"
	"github.com/openfunction/ofn/test/cluster/internal/node"
)

//go:embed pause/main.go
var pauseSource []byte

// packages names, for each program that is needed, the package of Debian and Ubuntu that has it.
var packages = [][2]string{
	{"containerd", "containerd"}, {"ctr", "containerd"}, {"runc", "runc"}, {"/usr/lib/cni/bridge", "containernetworking-plugins"},
	{"iptables", "iptables"}, {"nft", "nftables"}, {"conntrack", "conntrack"}, {"nsenter", "util-linux"}, {"mount", "mount"},
}

// settings are what every command shares.
type settings struct {
	dir   string
	cache string
	log   *slog.Logger
}

func commands(log *slog.Logger) *cobra.Command {
	s := &settings{log: log}
	root := &cobra.Command{Use: "cluster", Short: "a real Kubernetes on one machine, for tests", SilenceUsage: true, SilenceErrors: true}
	root.PersistentFlags().StringVar(&s.dir, "dir", defaultDir("state"), "folder of the cluster: its state and logs while it runs")
	root.PersistentFlags().StringVar(&s.cache, "cache", defaultDir("built"), "folder of what was compiled, kept from one cluster to the next")
	root.AddCommand(
		command("up", "start a cluster and wait until its node is ready", cobra.NoArgs, s.up),
		command("down", "end the cluster and remove everything it left", cobra.NoArgs, s.down),
		command("kubeconfig", "print the path of the administrator's kubeconfig (it works inside)", cobra.NoArgs, s.kubeconfig),
		command("load IMAGE.tar...", "import image archives into the node", cobra.MinimumNArgs(1), s.load),
		command("image NAME:TAG BINARY [PATH]", "write an image archive of a static binary to standard output", cobra.RangeArgs(2, 3), s.image),
		inside(s),
		command("build ENGINE...", "compile engines, without a cluster", cobra.MinimumNArgs(1), s.build),
		command("addons ENGINE...", "install engines: "+strings.Join(engine.Names(), ", "), cobra.MinimumNArgs(1), s.addons),
	)
	return root
}

func command(use, short string, args cobra.PositionalArgs, run func(context.Context, []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: args, RunE: func(c *cobra.Command, a []string) error { return run(c.Context(), a) }}
}

func inside(s *settings) *cobra.Command {
	c := command("inside CMD...", "run a command with the cluster's network, files and KUBECONFIG", cobra.MinimumNArgs(1), s.inside)
	c.Flags().SetInterspersed(false)
	return c
}

func defaultDir(name string) string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return name
	}
	return filepath.Join(cache, "ofn-cluster", name)
}

func (s *settings) up(ctx context.Context, _ []string) error {
	if err := missing(); err != nil {
		return err
	}
	d, err := node.NewDir(s.dir)
	if err != nil {
		return err
	}
	binary, err := s.builder().Static(ctx, "pause", pauseSource)
	if err != nil {
		return err
	}
	var pause bytes.Buffer
	if err := image.Write(&pause, node.PauseImage, image.File{Path: "/pause", Source: binary}); err != nil {
		return err
	}
	return node.Up(ctx, d, pause.Bytes())
}

// missing says which packages the machine lacks.
func missing() error {
	var need []string
	for _, p := range packages {
		if _, err := exec.LookPath(p[0]); err != nil {
			need = append(need, p[1])
		}
	}
	if len(need) > 0 {
		return fmt.Errorf("packages are missing; install them with: apt-get install --no-install-recommends %s", strings.Join(need, " "))
	}
	if os.Geteuid() != 0 {
		return errors.New("namespaces, mounts and cgroups need root")
	}
	return nil
}

func (s *settings) down(context.Context, []string) error {
	d, err := node.NewDir(s.dir)
	if err != nil {
		return err
	}
	return node.Down(d)
}

func (s *settings) kubeconfig(context.Context, []string) error {
	d, err := node.NewDir(s.dir)
	if err != nil {
		return err
	}
	fmt.Println(d.Kubeconfig())
	return nil
}

func (s *settings) load(ctx context.Context, files []string) error {
	d, err := node.NewDir(s.dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		err = node.Load(ctx, d, f)
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

func (s *settings) image(_ context.Context, args []string) error {
	file := image.File{Source: args[1], Path: "/" + filepath.Base(args[1])}
	if len(args) > 2 {
		file.Path = args[2]
	}
	return image.Write(os.Stdout, args[0], file)
}

func (s *settings) inside(ctx context.Context, args []string) error {
	d, err := node.NewDir(s.dir)
	if err != nil {
		return err
	}
	cmd, err := node.Inside(ctx, d, args...)
	if err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

func (s *settings) builder() engine.Builder { return engine.Builder{Cache: s.cache, Nice: true} }

func (s *settings) installer() (*engine.Installer, error) {
	d, err := node.NewDir(s.dir)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return &engine.Installer{
		Build: s.builder(), Self: self, Log: s.log,
		Inside: func(ctx context.Context, args ...string) (*exec.Cmd, error) { return node.Inside(ctx, d, args...) },
		Load:   func(ctx context.Context, archive io.Reader) error { return node.Load(ctx, d, archive) },
	}, nil
}

func (s *settings) build(ctx context.Context, names []string) error {
	i, err := s.installer()
	if err != nil {
		return err
	}
	return i.Prepare(ctx, names...)
}

func (s *settings) addons(ctx context.Context, names []string) error {
	i, err := s.installer()
	if err != nil {
		return err
	}
	return i.Install(ctx, names...)
}
