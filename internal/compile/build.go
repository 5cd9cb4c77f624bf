package compile

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// build compiles a program to a file, which is there whole or not at all.
func (c *Compiler) build(ctx context.Context, p Program, to string, say func(string)) error {
	if err := os.MkdirAll(c.opt.Dir, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(c.opt.Dir, sourceName+"*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	say(fmt.Sprintf("fetching the modules of %s, which %s; this happens once", p.Name, p.Purpose))
	module, err := p.Source(ctx, c.tool, dir)
	if err != nil {
		return err
	}
	out := filepath.Join(dir, p.Name)
	args := slices.Concat([]string{"build", "-v", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out}, p.Args)
	cmd := c.command(ctx, module, args)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	complaints := progress(stderr, p, say)
	if err := cmd.Wait(); err != nil {
		return because(ctx, err, complaints)
	}
	return os.Rename(out, to)
}

// command is the go command in a directory.
func (c *Compiler) command(ctx context.Context, dir string, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.opt.Go, args...)
	cmd.Dir = dir
	cmd.Env = append(slices.Clone(c.opt.Env), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "GO111MODULE=on")
	Attend(cmd)
	return cmd
}

// tool is a Tool.
func (c *Compiler) tool(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := c.command(ctx, dir, args)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return out, because(ctx, err, strings.TrimSpace(complaints.String()))
	}
	return out, nil
}

// because is why a command ended.
func because(ctx context.Context, err error, complaints string) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Errorf("%w\n%s", err, complaints)
}

// maxComplaints is how many lines of an unsuccessful build are shown.
const maxComplaints = 12

// progress tells how many packages were compiled, and returns the last lines that are not names of packages.
func progress(r io.Reader, p Program, say func(string)) string {
	var last []string
	compiled := 0
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if strings.ContainsAny(line, " :#") {
			last = append(last, line)
			last = last[max(0, len(last)-maxComplaints):]
			continue
		}
		if compiled++; compiled%50 == 0 {
			say(fmt.Sprintf("building %s, which %s: %d of about %d packages; this happens once", p.Name, p.Purpose, compiled, max(p.Packages, compiled)))
		}
	}
	_, _ = io.Copy(io.Discard, r) // a line that is too long must not stop the compiler
	return strings.Join(last, "\n")
}

// Module is the source of a published version of a module, by the hash that it has in go.sum: "h1:" and what follows. Its package
// is built in the module itself, so that the replacements of its go.mod hold.
func Module(path, version, sum string) Source {
	return func(ctx context.Context, tool Tool, dir string) (string, error) {
		out, err := tool(ctx, dir, "mod", "download", "-json", path+"@"+version)
		var got struct{ Dir, Sum, Error string }
		if unread := json.Unmarshal(out, &got); unread == nil && got.Error != "" {
			err = errors.New(got.Error)
		} else if err == nil {
			err = unread
		}
		switch {
		case err != nil:
			return "", fmt.Errorf("fetching %s %s: %w", path, version, err)
		case got.Sum != sum:
			return "", fmt.Errorf("fetching %s %s: it is not what was published: its hash is %s, want %s", path, version, got.Sum, sum)
		}
		return got.Dir, nil
	}
}
