package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// Files that say how a source is started.
const (
	procfile  = "Procfile"
	bootstrap = "bootstrap"
)

// runtimeName is what FUNC_RUNTIME says for sources that are ready to run.
const runtimeName = "server"

// Plan implements lang.Launcher.
func (s *Server) Plan(t *lang.Tree, e lang.Env, log io.Writer) (lang.Env, error) {
	if process := first(e.Rest, "fprocess", "function_process"); process != "" {
		if e.Contract == "" {
			e.Contract = lang.ContractWatchdog
		}
		if e.Command == "" {
			e.Command = process
		}
	}
	e = s.lambda(t, e, log)
	if e.Command != "" || e.Contract != "" && e.Contract != lang.ContractServer && e.Contract != lang.ContractWatchdog && e.Contract != lang.ContractCGI {
		return e, nil
	}
	command, err := fromProcfile(t)
	if command != "" {
		fmt.Fprintf(log, "%s: the program is started with %s\n", procfile, command)
		e.Command = command
	}
	return e, err
}

func first(vars map[string]string, names ...string) string {
	for _, n := range names {
		if v := strings.TrimSpace(vars[n]); v != "" {
			return v
		}
	}
	return ""
}

// lambda finds out whether the source is for AWS Lambda: it holds a bootstrap, or its main program is built on AWS's library.
func (s *Server) lambda(t *lang.Tree, e lang.Env, log io.Writer) lang.Env {
	wanted := e.Contract == lang.ContractLambda || e.Contract == lang.ContractLambdaRaw
	if e.Command != "" || e.Contract != "" && !wanted {
		return e
	}
	if file := path.Join(t.Sub, bootstrap); t.Has(file) {
		head := headOf(t.Abs(file))
		if isProgram(head) || bytes.HasPrefix(head, []byte("#!")) && (wanted || mentions(t.Abs(file), "AWS_LAMBDA_RUNTIME_API")) {
			if !wanted {
				fmt.Fprintf(log, "%s: the source is a custom runtime of AWS Lambda\n", bootstrap)
				e.Contract = lang.ContractLambda
			}
			e.Command = "./" + bootstrap
			if e.Runtime == "" {
				e.Runtime = runtimeName // what is built already is not built again
			}
			return e
		}
	}
	if file := usesLambda(t); !wanted && file != "" {
		fmt.Fprintf(log, "%s: the source is a function of AWS Lambda\n", file)
		e.Contract, e.ContractFound = lang.ContractLambda, true
	}
	return e
}

// usesLambda names the file by which a main program of Go or Rust says that it is built on AWS's library.
func usesLambda(t *lang.Tree) string {
	if file := path.Join(t.Sub, "go.mod"); t.Has(file) {
		data, err := os.ReadFile(t.Abs(file))
		if err != nil {
			return ""
		}
		mod, err := modfile.ParseLax(file, data, nil)
		if err != nil {
			return "" // the build says it
		}
		for _, r := range mod.Require {
			if r.Mod.Path == "github.com/aws/aws-lambda-go" && !r.Indirect {
				return file
			}
		}
	}
	if file := path.Join(t.Sub, "Cargo.toml"); t.Has(file) && (mentions(t.Abs(file), "lambda_runtime") || mentions(t.Abs(file), "lambda_http")) {
		return file
	}
	return ""
}

// mentions tells whether a file of the source has a text in its first part.
func mentions(file, text string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 256<<10))
	return err == nil && bytes.Contains(data, []byte(text))
}

// process is a line of a Procfile: a name and a command.
var process = regexp.MustCompile(`^([A-Za-z0-9_-]+):\s*(\S.*)$`)

// fromProcfile is the command of the process web, or of the only one there is; empty without a Procfile.
func fromProcfile(t *lang.Tree) (string, error) {
	file := path.Join(t.Sub, procfile)
	if !t.Has(file) {
		return "", nil
	}
	f, err := os.Open(t.Abs(file))
	if err != nil {
		return "", fmt.Errorf("reading the source: %w", err)
	}
	defer f.Close()
	return parseProcfile(file, f)
}

func parseProcfile(file string, r io.Reader) (string, error) {
	var names, commands []string
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := process.FindStringSubmatch(line)
		if m == nil {
			return "", lang.Failure("ProcfileInvalid", "%s:%d: %.100q is not a process: a line is NAME: COMMAND, such as web: ./server", file, n, line)
		}
		if m[1] == "web" {
			return strings.TrimSpace(m[2]), nil
		}
		names, commands = append(names, m[1]), append(commands, strings.TrimSpace(m[2]))
	}
	if err := lines.Err(); err != nil {
		return "", lang.Failure("ProcfileInvalid", "%s cannot be read: %v", file, err)
	}
	switch len(commands) {
	case 1:
		return commands[0], nil
	case 0:
		return "", lang.Failure("ProcfileInvalid", "%s has no process: write one as web: COMMAND", file)
	}
	return "", lang.Failure("ProcfileInvalid", "%s has the processes %s, but none is called web: a function is the process web", file, strings.Join(names, ", "))
}
