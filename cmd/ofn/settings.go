package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/openfunction/ofn/internal/instance/drivers/sandbox"
)

// settings are what `ofn up` can be told. Flags are the only source.
type settings struct {
	dataDir        string
	apiAddress     string
	apiPort        int
	gatewayAddress string
	registryAddr   string
	metricsAddress string
	domain         string
	clusterDomain  string
	goRoot         string
	daprd          string
	egress         string
	logLevel       string
	logFormat      string
	insecure       []string
	allowUnlimited bool
	allowLocalGit  bool
	warm           bool
	builds         int
	startTimeout   time.Duration
	requestTimeout time.Duration
	drain          time.Duration
}

func (s *settings) bind(f *pflag.FlagSet) {
	f.StringVar(&s.dataDir, "data-dir", dataDir(), "where everything is kept")
	f.StringVar(&s.apiAddress, "api-address", "127.0.0.1", "address of the Kubernetes API")
	f.IntVar(&s.apiPort, "api-port", 7443, "port of the Kubernetes API")
	f.StringVar(&s.gatewayAddress, "gateway-address", "127.0.0.1:8080", "address and port where functions are called")
	f.StringVar(&s.registryAddr, "registry-address", "", "address and port where the embedded registry is also served over plain HTTP to everybody who reaches it, e.g. 127.0.0.1:5000; it is always served on the API port under /v2/")
	f.StringVar(&s.metricsAddress, "metrics-address", "127.0.0.1:9464", "address and port of /metrics and /healthz; empty for none")
	f.StringVar(&s.domain, "domain", "localhost", "domain of the functions' names when the default gateway is first made")
	f.StringVar(&s.clusterDomain, "cluster-domain", "cluster.local", "domain of the functions' internal names")
	f.StringVar(&s.goRoot, "goroot", "", "Go distribution that builds Go functions (default: that of the go command on PATH)")
	f.StringVar(&s.daprd, "daprd", "", "daprd that runs beside functions which ask for one, statically linked (default: one beside ofn or on PATH, else it is built when it is first needed)")
	f.StringVar(&s.egress, "egress", "", "what functions reach beyond themselves: nat or none (default: nat for root, else none)")
	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "", "text or json (default: text on a terminal)")
	f.StringSliceVar(&s.insecure, "insecure-registry", nil, "registry host that may be spoken to over plain HTTP; repeatable")
	f.BoolVar(&s.allowUnlimited, "allow-unlimited", false, "run functions although this machine cannot enforce their limits")
	f.BoolVar(&s.allowLocalGit, "allow-local-git", false, "accept file:// git URLs: whoever may create a function can then read every repository that ofn can")
	f.BoolVar(&s.warm, "warm-builds", true, "compile Go's standard library in the background at the first start, while nothing is built")
	f.IntVar(&s.builds, "parallel-builds", 2, "builds at the same time; more wait")
	f.DurationVar(&s.startTimeout, "start-timeout", 30*time.Second, "how long a function may take to listen, unless serving.timeout says")
	f.DurationVar(&s.requestTimeout, "request-timeout", 5*time.Minute, "how long a request may take, its wait included")
	f.DurationVar(&s.drain, "drain-timeout", 10*time.Second, "how long requests may finish when ofn stops")
}

// dataDir is where the platform keeps everything unless it is told otherwise.
func dataDir() string {
	if d := os.Getenv("OFN_DATA_DIR"); d != "" {
		return d
	}
	if os.Geteuid() == 0 {
		return "/var/lib/ofn"
	}
	if d := os.Getenv("XDG_DATA_HOME"); d != "" {
		return filepath.Join(d, "ofn")
	}
	return filepath.Join(os.Getenv("HOME"), ".local", "share", "ofn")
}

// check fills in what depends on the machine and refuses what cannot be.
func (s *settings) check() error {
	var err error
	if s.dataDir, err = filepath.Abs(s.dataDir); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	switch s.egress {
	case "", string(sandbox.EgressNone), string(sandbox.EgressNAT):
	default:
		return fmt.Errorf("--egress is %q; it is nat or none", s.egress)
	}
	if s.builds < 1 {
		return errors.New("--parallel-builds must be at least 1")
	}
	return nil
}

// findGoRoot asks the go command where its distribution is. Without Go only prebuilt images can be served.
func (s *settings) findGoRoot() (string, error) {
	if s.goRoot != "" {
		return s.goRoot, nil
	}
	path, err := exec.LookPath("go")
	if err != nil {
		return "", errors.New("Go is not on PATH")
	}
	return goEnv(path, "GOROOT")
}

// goEnv asks the go command for one of its settings, away from any module that could have a say.
func goEnv(program, name string) (string, error) {
	cmd := exec.Command(program, "env", name)
	cmd.Dir = "/"
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("asking %s for its %s: %w: %s", program, name, err, strings.TrimSpace(complaint.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
