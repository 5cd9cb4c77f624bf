package server

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// settings are variables of the build that are settings of a contract, and so go into the environment of the program. Those of the
// running function win over them.
var settings = map[string][]string{
	lang.ContractWatchdog: {"mode", "upstream_url", "http_upstream_url", "exec_timeout", "max_inflight", "write_debug", "content_type", "combine_output", "cgi_headers",
		"static_path", "read_timeout", "write_timeout", "prefix_logs", "suppress_lock", "buffer_http", "http_buffer_req_body", "healthcheck_interval"},
	lang.ContractLambda:    {"exec_timeout", "_HANDLER", "OFN_LAMBDA_PROCESSES"},
	lang.ContractLambdaRaw: {"exec_timeout", "_HANDLER", "OFN_LAMBDA_PROCESSES"},
	lang.ContractCGI:       {"exec_timeout", "write_debug"},
}

// launch is one program on its way to an entrypoint.
type launch struct {
	*Server
	job     *lang.Job
	program lang.Program
	there   map[string]bool   // files of the image, by path
	made    map[string]string // those that the build made of the source, on this machine
	source  map[string]int    // files of the source among them, by their place in the tree
	machine build.Layer       // of this machine
	own     []string          // directories of the source with shared libraries
}

// Launch implements lang.Launcher.
func (s *Server) Launch(ctx context.Context, j *lang.Job, p lang.Program) (lang.Program, error) {
	contract := j.Env.Contract
	if j.Env.ContractFound && (p.ListenFD || p.Bare) {
		fmt.Fprintln(j.Log, "it serves HTTP itself, so that the contract of AWS Lambda is left out")
		contract = ""
	}
	switch {
	case j.Env.Command == "" && contract == "" && len(j.Env.Programs) == 0:
		return p, nil
	case p.Bare:
		return p, lang.Failure("ContractUnsupported", "a WebAssembly module has neither a command nor a contract of another platform: leave out FUNC_ENTRYPOINT, FUNC_CONTRACT and the Procfile")
	case needsShim(contract) && j.Env.Command == "" && p.ListenFD:
		return p, lang.Failure("ContractMismatch", "the contract is %s, but the source is a function of this platform's framework, which serves by itself: leave out the contract (FUNC_CONTRACT, openfunction.io/contract), or give a complete program", contract)
	}
	l := newLaunch(s, j, p)
	args := p.Entrypoint
	if j.Env.Command != "" {
		var err error
		if args, err = l.command(j.Env.Command); err != nil {
			return p, err
		}
		if !s.opts.Local { // where the developer's own is right
			l.program.Env = append(l.program.Env, "PATH=/"+strings.Join(searched, ":/"))
		}
		l.program.ListenFD = false // what a command starts is told PORT, which every program understands
	}
	if err := l.extra(j.Env.Programs); err != nil {
		return p, err
	}
	l.program.Entrypoint = args
	if needsShim(contract) {
		if err := l.behind(ctx, contract, args); err != nil {
			return p, err
		}
	}
	l.finish()
	if s.opts.Local {
		l.program.Local = l.local(p.Local, len(p.Env))
		l.program.SourceNeeded = l.program.SourceNeeded || j.Env.Command != ""
	}
	fmt.Fprintf(j.Log, "starting with %s\n", strings.Join(l.program.Entrypoint, " "))
	return l.program, nil
}

func newLaunch(s *Server, j *lang.Job, p lang.Program) *launch {
	l := &launch{Server: s, job: j, program: p, there: map[string]bool{}, made: map[string]string{}, source: map[string]int{}}
	l.program.Env, l.program.Labels = slices.Clone(p.Env), maps.Clone(p.Labels)
	for _, layer := range slices.Concat(p.Shared, p.Layers, p.Above) {
		for _, e := range layer {
			if !e.Mode.IsDir() {
				l.there[e.Path] = true
			}
		}
	}
	for _, layer := range slices.Concat(p.Layers, p.Above) {
		for _, e := range layer {
			if e.File != "" {
				l.made[e.Path] = e.File
			}
		}
	}
	for n, f := range j.Tree.Files {
		if rel, in := lang.Below(j.Tree.Sub, f.Path); in {
			at := path.Join(lang.SourceDir, rel)
			l.there[at], l.source[at] = true, n
		}
	}
	return l
}

// behind puts the shim before the program.
func (l *launch) behind(ctx context.Context, contract string, args []string) error {
	layer, err := l.shim(ctx, l.job)
	if err != nil {
		return err
	}
	p := &l.program
	p.Shared = append(slices.Clone(p.Shared), layer)
	p.Entrypoint = append([]string{"/" + shimPath, contract}, args...)
	p.ListenFD = true
	for _, k := range settings[contract] {
		if v, ok := l.job.Env.Rest[k]; ok {
			p.Env = append(p.Env, k+"="+v)
		}
	}
	if p.Labels == nil {
		p.Labels = map[string]string{}
	}
	p.Labels["io.openfunction.contract"] = contract
	if contract == lang.ContractLambda || contract == lang.ContractLambdaRaw {
		l.machine = append(l.machine, build.Entry{Path: "var", Mode: fs.ModeDir | 0o755}, build.Entry{Path: "var/task", Mode: fs.ModeSymlink | 0o777, Link: "../" + lang.SourceDir})
	}
	return nil
}

// finish lays what came from this machine below the source.
func (l *launch) finish() {
	p := &l.program
	if len(l.own) > 0 {
		p.Env = append(p.Env, "LD_LIBRARY_PATH="+strings.Join(l.own, ":"))
	}
	if len(l.machine) == 0 {
		return
	}
	seen := map[string]bool{}
	var layer build.Layer
	slices.SortStableFunc(l.machine, func(a, b build.Entry) int { return strings.Compare(a.Path, b.Path) })
	for _, e := range l.machine {
		if !seen[e.Path] {
			seen[e.Path] = true
			layer = append(layer, e)
		}
	}
	p.Shared = append(slices.Clone(p.Shared), layer)
}
