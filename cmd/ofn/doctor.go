package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openfunction/ofn/internal/cli"
	"github.com/openfunction/ofn/internal/cli/connect"
	"github.com/openfunction/ofn/internal/doctor"
	"github.com/openfunction/ofn/internal/instance/drivers/sandbox"
	"github.com/openfunction/ofn/internal/lag/helper"
)

// oldestGo is the Go that the framework compiles with.
const oldestGo = "1.24"

// askTimeout bounds each question to another server.
const askTimeout = 3 * time.Second

func doctorCommand() *cobra.Command {
	var s settings
	var cluster clusterDoctor
	var output, kubeconfig string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what this machine has and lacks for running the platform",
		Long: `Check what this machine has and lacks for running the platform, one line each: ok, warn or fail, and what to do about it.
The flags are those of ofn up, so that the same choices are checked. The exit code is 1 when something fails. It changes
nothing but for an empty control group that it removes again.

With --cluster it checks a Kubernetes cluster that functions are to run on: access and rights, the kinds, the operator and its webhooks,
each engine and which functions need it, and the runtime classes, secrets and features of Knative that functions name.`,
		Example: "  ofn doctor\n  ofn doctor -o json\n  ofn doctor --cluster --context production",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return fmt.Errorf("-o %s is not known here; it is json", output)
			}
			if !cluster.on && cluster.context != "" {
				return errors.New("--context belongs to --cluster: without it this machine is checked")
			}
			if cluster.on {
				report, err := cluster.examine(cmd.Context(), kubeconfig)
				if err != nil {
					return err
				}
				return printReport(cmd, report, output)
			}
			if err := s.check(); err != nil {
				return err
			}
			return printReport(cmd, doctor.Examine(s.facts(cmd.Context(), kubeconfig)), output)
		},
	}
	s.bind(cmd.Flags())
	cluster.bind(cmd.Flags())
	cmd.Flags().StringVarP(&output, "output", "o", "", "json")
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig file of the control plane to reach (default: as for other commands)")
	return cmd
}

// printReport prints a report; something that failed is the exit code.
func printReport(cmd *cobra.Command, report doctor.Report, output string) error {
	if output == "json" {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "    ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(report); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
	} else {
		report.Print(cmd.OutOrStdout())
	}
	if report.Worst() == doctor.Fail {
		return cli.ExitCode(1)
	}
	return nil
}

// facts asks the machine.
func (s *settings) facts(ctx context.Context, kubeconfig string) doctor.Facts {
	f := doctor.Facts{OS: runtime.GOOS, Arch: runtime.GOARCH, Root: os.Geteuid() == 0, GoNeeded: oldestGo}
	for _, p := range sandbox.Check(sandbox.Options{}) {
		f.Problems = append(f.Problems, doctor.Problem{What: p.What, Means: p.Means, Do: p.Do, Fatal: p.Fatal, Limit: p.Limit})
	}
	kernelFacts(&f)
	f.DataDir, f.RunningAs = directory(s.dataDir), runningAs(s.dataDir)
	f.Ports = s.ports(ctx)
	f.Resolved = lookUp(ctx, "hello.default."+s.domain)
	f.Git = asked(ctx, "git", "version")
	f.Git.Version = strings.TrimPrefix(f.Git.Version, "git version ")
	f.Languages = languageFacts(ctx)
	f.Scalers = helper.Program(filepath.Join(s.dataDir, helpersDir), builtScalers())
	s.goFacts(ctx, &f)
	s.apiFacts(ctx, &f, kubeconfig)
	return f
}

// asked is a program and what it says of its version.
func asked(ctx context.Context, name string, args ...string) doctor.Program {
	p := doctor.Program{Path: program(name)}
	if p.Path == "" {
		return p
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.Path, args...)
	cmd.Dir, cmd.WaitDelay = "/", time.Second
	out, err := cmd.Output()
	p.Version, p.Err = strings.TrimSpace(string(out)), err
	return p
}

// goFacts asks Go for its version and its proxies, and those for an answer.
func (s *settings) goFacts(ctx context.Context, f *doctor.Facts) {
	if s.goRoot != "" {
		f.Go = asked(ctx, s.goRoot+"/bin/go", "env", "GOVERSION")
	} else {
		f.Go = asked(ctx, "go", "env", "GOVERSION")
	}
	f.Go.Version, _, _ = strings.Cut(strings.TrimPrefix(f.Go.Version, "go"), " ")
	if f.Go.Path == "" || f.Go.Err != nil {
		return
	}
	proxies, err := goEnv(f.Go.Path, "GOPROXY")
	if err != nil {
		return // it has just answered, so the next build will say
	}
	for _, url := range strings.FieldsFunc(proxies, func(r rune) bool { return r == ',' || r == '|' }) {
		if strings.HasPrefix(url, "http://") || strings.HasPrefix(url, "https://") {
			remote, clocks := reach(ctx, url)
			f.Proxies, f.Clocks = append(f.Proxies, remote), append(f.Clocks, clocks...)
		}
	}
}

// apiFacts asks the control plane that commands would talk to for its version.
func (s *settings) apiFacts(ctx context.Context, f *doctor.Facts, kubeconfig string) {
	cluster, err := connect.Open(connect.Options{Kubeconfig: kubeconfig, EnvKubeconfig: os.Getenv("KUBECONFIG"), DataDir: s.dataDir,
		Home: os.Getenv("HOME"), UserAgent: "ofn/" + version, Warnings: os.Stderr})
	if err != nil {
		f.API = apiUnknown(err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	f.API.URL = cluster.URL.String()
	info, err := cluster.Server(ctx)
	f.API.Version, f.API.Err = info.GitVersion, err
}

// ports tries the addresses of `ofn up` one after the other.
func (s *settings) ports(ctx context.Context) []doctor.Port {
	all := []doctor.Port{
		{For: "functions", Address: s.gatewayAddress, Flag: "--gateway-address"},
		{For: "API", Address: net.JoinHostPort(s.apiAddress, strconv.Itoa(s.apiPort)), Flag: "--api-port"},
		{For: "metrics", Address: s.metricsAddress, Flag: "--metrics-address"},
		{For: "registry", Address: s.registryAddr, Flag: "--registry-address"},
	}
	var out []doctor.Port
	for _, p := range all {
		if p.Address == "" {
			continue
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.Address)
		if err == nil {
			err = l.Close()
		}
		p.Err = err
		out = append(out, p)
	}
	return out
}
