package compile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// timeout bounds a build. The first one on a slow machine fetches and compiles for a quarter of an hour.
const timeout = time.Hour

// sourceName begins the names of what is made for the time of a build.
const sourceName = "source-"

// Program says what is made.
type Program struct {
	Name     string   // of the program
	Purpose  string   // what it is for, in the words that follow "NAME, which ..."
	Version  string   // of its source and of how it is built: part of a file's name
	Find     []string // where it may be, built
	Source   Source
	Args     []string // of go build: tags and, last, the package
	Packages int      // about how many packages it is made of, for the progress
}

// Source puts the module of a program into a directory made for it, or fetches it to elsewhere, and returns where it is. The
// tool runs the go command and returns what it prints.
type Source func(ctx context.Context, tool Tool, dir string) (module string, err error)

// Tool is the go command.
type Tool func(ctx context.Context, dir string, args ...string) ([]byte, error)

// Options of a Compiler. Dir is required.
type Options struct {
	Dir string   // where programs are built to, this platform's alone; made when missing
	Go  string   // the go command; empty when there is none
	Env []string // of the go command, "KEY=value"
	Log *slog.Logger
}

// Compiler builds one program at a time. Make it with New.
type Compiler struct {
	opt  Options
	turn chan struct{}
}

// New makes a compiler that builds nothing until it is asked to.
func New(o Options) *Compiler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Compiler{opt: o, turn: make(chan struct{}, 1)}
}

// Find is the path of a program: the first of those it may be at that is there, or the one built in dir; empty without any.
func Find(dir string, p Program) string {
	for _, path := range append(append([]string{}, p.Find...), built(dir, p)) {
		if executable(path) {
			return path
		}
	}
	return ""
}

func built(dir string, p Program) string { return filepath.Join(dir, p.Name+"-"+p.Version) }

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// Get returns the path of a program, which is built when there is none. It tells its progress as a sentence, and waits while another
// program is being built.
func (c *Compiler) Get(ctx context.Context, p Program, say func(message string)) (string, error) {
	if path := Find(c.opt.Dir, p); path != "" {
		return path, nil
	}
	if c.opt.Go == "" {
		return "", fmt.Errorf("the program %s is not installed, and there is no Go to build it with: install Go 1.26 or later, or put a built %s beside ofn or on PATH", p.Name, p.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	say(fmt.Sprintf("%s, which %s, is built when another program is", p.Name, p.Purpose))
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return "", fmt.Errorf("building %s: %w", p.Name, ctx.Err())
	}
	if path := Find(c.opt.Dir, p); path != "" { // whoever was before built the same
		return path, nil
	}
	c.tidy()
	begun := time.Now()
	c.opt.Log.Info("building "+p.Name+", which "+p.Purpose+": once, for some minutes", "version", p.Version)
	to := built(c.opt.Dir, p)
	if err := c.build(ctx, p, to, say); err != nil {
		return "", fmt.Errorf("building %s: %w", p.Name, err)
	}
	c.opt.Log.Info("built "+p.Name, "took", time.Since(begun).Round(time.Second))
	c.forget(p, to)
	return to, nil
}

// tidy removes what a life of the platform that was killed left behind.
func (c *Compiler) tidy() {
	left, err := filepath.Glob(filepath.Join(c.opt.Dir, sourceName+"*"))
	if err != nil {
		return
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			c.opt.Log.Warn("removing what an earlier life left", "path", dir, "err", err)
		}
	}
}

// forget removes what earlier versions built.
func (c *Compiler) forget(p Program, except string) {
	old, err := filepath.Glob(filepath.Join(c.opt.Dir, p.Name+"-*"))
	if err != nil {
		return
	}
	for _, path := range old {
		if path == except {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.opt.Log.Warn("removing an old "+p.Name, "path", path, "err", err)
		}
	}
}
