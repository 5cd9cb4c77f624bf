package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// How long ofn may take on a machine that is busy with other tests.
const (
	startLimit = 90 * time.Second
	stopLimit  = 60 * time.Second
)

// server is one `ofn up` on a data directory of its own, which outlives the process.
type server struct {
	program, data, registry, cache string

	env     []string            // beside that of the test
	spans   *spans              // that it sends, where the script collects them
	user    *syscall.Credential // nil is that of the test
	cmd     *exec.Cmd
	ended   chan struct{} // closed after cmd.Wait
	err     error         // of cmd.Wait
	log     *journal
	gateway string   // address
	metrics string   // address
	cluster *cluster // where ofn is on one; nothing of it is started or stopped here

	mu    sync.Mutex
	loads map[string]*traffic
}

func (w *world) newServer() (*server, error) {
	data, err := os.MkdirTemp(w.dir, "d")
	if err == nil {
		err = os.Chmod(data, 0o711)
	}
	s := &server{program: filepath.Join(w.programs, "ofn"), data: data, registry: w.registry, cache: w.cache, loads: map[string]*traffic{}}
	if err == nil {
		err = s.warmUp()
	}
	if err != nil {
		return nil, fmt.Errorf("preparing a data directory: %w", err)
	}
	return s, nil
}

func (s *server) kubeconfig() string {
	if s.cluster != nil {
		return s.cluster.kubeconfig
	}
	return filepath.Join(s.data, "control", "kubeconfig")
}

var greeting = regexp.MustCompile(`functions +http://\S+:(\d+)/`)

// start returns when functions can be deployed.
func (s *server) start(flags ...string) error {
	var err error
	if s.metrics, err = freeAddress(); err != nil {
		return err
	}
	args := append([]string{"up", "--data-dir", s.data, "--api-port", "0", "--gateway-address", "127.0.0.1:0", "--metrics-address", s.metrics,
		"--allow-local-git", "--insecure-registry", s.registry, "--log-format", "text", "--warm-builds=false"}, flags...)
	s.log = newJournal(greeting)
	s.cmd = exec.Command(s.program, args...)
	s.cmd.Env = append(os.Environ(), s.env...)
	s.cmd.Stderr, s.cmd.Stdout = s.log, s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	s.asUser(s.cmd)
	s.ended = make(chan struct{})
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("starting ofn: %w", err)
	}
	go func(cmd *exec.Cmd, ended chan struct{}) {
		s.err = cmd.Wait()
		close(ended)
	}(s.cmd, s.ended)
	select {
	case found := <-s.log.found:
		s.gateway = "127.0.0.1:" + found
		return nil
	case <-s.ended:
		return fmt.Errorf("ofn up ended: %w", s.err)
	case <-time.After(startLimit):
		_ = s.kill()
		return fmt.Errorf("ofn up is not ready after %v", startLimit)
	}
}

// freeAddress is one of this machine that nobody listens at for now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

func (s *server) running() bool {
	if s.ended == nil {
		return false
	}
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// stop asks ofn to end and wants a good end.
func (s *server) stop() error {
	if !s.running() {
		return errors.New("ofn does not run")
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping ofn: %w", err)
	}
	select {
	case <-s.ended:
		return s.err
	case <-time.After(stopLimit):
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // whose stacks say why
		<-s.ended
		return fmt.Errorf("ofn was still running %v after SIGTERM", stopLimit)
	}
}

// kill ends it as the kernel would.
func (s *server) kill() error {
	if !s.running() {
		return errors.New("ofn does not run")
	}
	err := s.cmd.Process.Kill()
	<-s.ended
	return err
}

func (s *server) remove() {
	if s.running() {
		_ = s.stop() // what matters has been asserted by the script
	}
	_ = os.RemoveAll(s.data) // below the directory that goes with the world
}

func (s *server) said() string {
	if s.log == nil {
		return ""
	}
	return s.log.String()
}

func serverOf(ts *testscript.TestScript) *server { return ts.Value(serverKey{}).(*server) }

// up starts ofn with more flags. With ! it must refuse, and what it says is the standard error.
func up(ts *testscript.TestScript, neg bool, args []string) {
	s := serverOf(ts)
	if neg {
		s = &server{program: s.program, data: s.data, registry: s.registry, user: s.user} // a second one, maybe beside the first
	}
	err := s.start(args...)
	fmt.Fprint(ts.Stderr(), s.said())
	switch {
	case neg && err == nil:
		_ = s.stop()
		ts.Fatalf("ofn up started")
	case !neg:
		ts.Check(err)
		ts.Setenv("GATEWAY", s.gateway)
	}
}

func down(ts *testscript.TestScript, neg bool, _ []string) {
	if neg {
		ts.Fatalf("unsupported: ! down")
	}
	s := serverOf(ts)
	err := s.stop()
	fmt.Fprint(ts.Stderr(), s.said())
	ts.Check(err)
}

func kill9(ts *testscript.TestScript, neg bool, _ []string) {
	if neg {
		ts.Fatalf("unsupported: ! kill9")
	}
	ts.Check(serverOf(ts).kill())
}

// prepareNamespace gives a script a namespace of its own and a kubeconfig that means it.
func prepareNamespace(env *testscript.Env, s *server) error {
	name := filepath.Base(env.WorkDir)[len("script-"):]
	config, err := clientcmd.LoadFromFile(s.kubeconfig())
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.Contexts[config.CurrentContext].Namespace = name
	own := filepath.Join(env.WorkDir, ".kubeconfig")
	if err := clientcmd.WriteToFile(*config, own); err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	restConfig, err := clientcmd.NewDefaultClientConfig(*config, nil).ClientConfig()
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("making namespace %s: %w", name, err)
	}
	if s.cluster != nil {
		if err := s.cluster.prepare(ctx, env, name); err != nil {
			return err
		}
	}
	env.Vars = append(env.Vars, "NAMESPACE="+name, "KUBECONFIG="+own, "GATEWAY="+s.gateway, "DATA="+s.data)
	env.Defer(func() {
		// What a script deploys does not burden those after it.
		cmd := exec.Command(s.program, "delete", "functions", "--all", "--kubeconfig", own)
		_ = cmd.Run() // the namespace may be gone by the script's own doing
	})
	return nil
}

// journal keeps what a process writes and tells the first match of a pattern's group.
type journal struct {
	mu    sync.Mutex
	text  bytes.Buffer
	want  *regexp.Regexp
	found chan string
}

func newJournal(want *regexp.Regexp) *journal {
	return &journal{want: want, found: make(chan string, 1)}
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.Write(p)
	if j.want != nil {
		if m := j.want.FindSubmatch(j.text.Bytes()); m != nil {
			j.want = nil
			j.found <- string(m[1])
		}
	}
	return len(p), nil
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// kubeGet prints what the Kubernetes API has at a path: kubeget [-token TOKEN] PATH.
func kubeGet(ts *testscript.TestScript, neg bool, args []string) {
	config, err := clientcmd.BuildConfigFromFlags("", ts.Getenv("KUBECONFIG"))
	ts.Check(err)
	if len(args) == 3 && args[0] == "-token" {
		config = rest.AnonymousClientConfig(config)
		config.BearerToken, args = args[1], args[2:]
	}
	client, err := kubernetes.NewForConfig(config)
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got, err := client.RESTClient().Get().AbsPath(args[0]).DoRaw(ctx)
	fmt.Fprintln(ts.Stdout(), string(got))
	if neg != (err != nil) {
		ts.Fatalf("kubeget: %v", err)
	}
}

// token sets TOKEN to one of a service account of the script's namespace, API and CA to what is needed to use it.
func token(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: token SERVICEACCOUNT")
	}
	config, err := clientcmd.BuildConfigFromFlags("", ts.Getenv("KUBECONFIG"))
	ts.Check(err)
	client, err := kubernetes.NewForConfig(config)
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	made, err := client.CoreV1().ServiceAccounts(ts.Getenv("NAMESPACE")).CreateToken(ctx, args[0], &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	ts.Check(err)
	ca := ts.MkAbs("ca.crt")
	ts.Check(os.WriteFile(ca, config.CAData, 0o600))
	ts.Setenv("TOKEN", made.Status.Token)
	ts.Setenv("API", config.Host)
	ts.Setenv("CA", ca)
}
