package node

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// checkTime is how long the module of a function may take to load while it is checked.
const checkTime = 30 * time.Second

var errSlow = errors.New("loading the function took too long")

// function is one that the check found.
type function struct {
	Name      string   `json:"name"`
	Signature string   `json:"signature"`
	Named     bool     `json:"named"`
	Path      string   `json:"path"`
	Methods   []string `json:"methods"`
}

// verdict is what the framework's check.js tells.
type verdict struct {
	OK        bool       `json:"ok"`
	Kind      string     `json:"kind"`
	Error     string     `json:"error"`
	Stack     string     `json:"stack"`
	Name      string     `json:"name"`
	Code      string     `json:"code"`
	Functions []function `json:"functions"`
}

// check loads the function as it will be loaded, without a network. What is wrong with the code for certain fails the build; what may be
// otherwise where the function runs, such as a variable of the environment that is missing here, is only told.
func (n *Node) check(ctx context.Context, j *job) error {
	p := j.plan
	if p.server != nil {
		return nil
	}
	v, err := n.load(ctx, j)
	if errors.Is(err, errSlow) && ctx.Err() == nil {
		fmt.Fprintf(j.Log, "warning: the function was still loading after %v and was not checked\n", checkTime)
		return nil
	}
	if err != nil {
		return err
	}
	if !v.OK {
		return p.judge(j, v)
	}
	p.found = v.Functions
	for _, f := range v.Functions {
		if p.sig != "" && f.Signature != "application" && f.Signature != p.sig {
			return lang.Failure("SignatureMismatch", "the function %q in %s is registered as %s, and FUNC_TYPE says %s: make them the same", f.Name, p.entry, f.Signature, p.sig)
		}
	}
	return nil
}

func (n *Node) load(ctx context.Context, j *job) (verdict, error) {
	mark := "ofn-check-" + rand.Text() + " "
	env := []string{"OFN_CHECK_MARK=" + mark, "FUNCTION_SOURCE=" + j.Tree.Abs(j.plan.run), "NODE_ENV=production"}
	if j.plan.target != "" {
		env = append(env, "FUNCTION_TARGET="+j.plan.target)
	}
	if j.plan.sig != "" {
		env = append(env, "FUNCTION_SIGNATURE_TYPE="+j.plan.sig)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, checkTime, errSlow)
	defer cancel()
	said, code, err := n.output(ctx, j, step{
		args: []string{j.runtime.program, "--enable-source-maps", filepath.Join(j.Work, frameworkModule, "check.js")},
		env:  env, dir: j.dir, quiet: true,
	})
	if err != nil {
		return verdict{}, err
	}
	for line := range strings.Lines(said) {
		if text, ok := strings.CutPrefix(line, mark); ok {
			var v verdict
			if err := json.Unmarshal([]byte(text), &v); err != nil {
				return verdict{}, fmt.Errorf("reading what the check of the function told: %w", err)
			}
			return v, nil
		}
	}
	return verdict{Kind: "load", Error: fmt.Sprintf("loading %s ended the interpreter with code %d", j.plan.run, code), Stack: lang.Tail(said)}, nil
}

var (
	missingModule = regexp.MustCompile(`Cannot find (?:module|package) '([^']+)'`)
	ownFrames     = regexp.MustCompile(`(?m)^.*(\(node:|at node:|` + regexp.QuoteMeta(frameworkModule) + `|Require stack:|^- ).*\n?`)
)

// judge makes of a function that could not be loaded a failure, or a warning.
func (p *plan) judge(j *job, v verdict) error {
	stack := strings.TrimSpace(ownFrames.ReplaceAllString(v.Stack, ""))
	if v.Kind == "target" {
		return lang.Failure("HandlerMissing", "%s", v.Error)
	}
	switch {
	case v.Name == "SyntaxError":
		return lang.Failure("SyntaxError", "%s\n%s", v.Error, stack)
	case v.Code == "MODULE_NOT_FOUND" || v.Code == "ERR_MODULE_NOT_FOUND":
		name := ""
		if m := missingModule.FindStringSubmatch(v.Error); m != nil {
			name = m[1]
		}
		advice := "check its path"
		if name != "" && !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "/") {
			advice = "add it to dependencies in package.json, and commit the lock file"
		}
		return lang.Failure("ImportFailed", "%s\n%s\n%s", v.Error, stack, advice)
	}
	fmt.Fprintf(j.Log, "warning: the function could not be loaded here, where it has neither network nor environment; it will be tried again at its start:\n%s\n%s\n", v.Error, stack)
	return nil
}
