//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/instance"
)

// Run implements Runner.
func (d *Driver) Run(ctx context.Context, c Command) (instance.Exit, error) {
	began := time.Now()
	binds, err := d.checkCommand(c)
	if err != nil {
		return instance.Exit{}, fmt.Errorf("command %s: %w", c.ID, err)
	}
	if err := d.admit(c.ID); err != nil {
		return instance.Exit{}, fmt.Errorf("command %s: %w", c.ID, err)
	}
	defer d.release(c.ID)
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	exit, err := d.run(ctx, c, binds, began)
	if err != nil {
		return exit, fmt.Errorf("running command %s: %w", c.ID, err)
	}
	return exit, nil
}

func (d *Driver) run(ctx context.Context, c Command, binds []Bind, began time.Time) (instance.Exit, error) {
	outs, err := d.outputs(c)
	if err != nil {
		return instance.Exit{}, err
	}
	pl := d.commandPlan(c, binds)
	pl.stdout, pl.stderr = outs[0].w, outs[len(outs)-1].w
	p, err := d.bear(ctx, pl, c.Limits, nil, began)
	for i, o := range outs {
		o.closeWriter()
		if err != nil {
			o.abandon()
		} else {
			go o.copyTo([]io.Writer{writer(c.Stdout), writer(c.Stderr)}[i])
		}
	}
	if err != nil {
		return instance.Exit{}, err
	}
	d.started(c.ID, p)
	stop := context.AfterFunc(ctx, p.kill)
	err = p.wait()
	early := !stop()
	exit := p.exit()
	// A command is no service that could go on: one that failed after anything in it was killed for memory failed for that.
	exit.OutOfMemory = exit.Code != 0 && exit.Strain.MemoryKills > 0
	for _, o := range outs {
		o.finish()
	}
	if early {
		exit.Requested = true
		err = errors.Join(err, context.Cause(ctx))
	}
	return exit, errors.Join(err, p.pidfd.Close(), d.giveBack(p.berth))
}

func writer(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// outputs makes one pipe, or two when standard error goes elsewhere.
func (d *Driver) outputs(c Command) ([]*stream, error) {
	out, err := newStream(d.host, c.Process.UID, c.Process.GID)
	if err != nil || c.Stderr == nil && c.Stdout == nil || sameWriter(c.Stdout, c.Stderr) {
		return []*stream{out}, err
	}
	errs, err := newStream(d.host, c.Process.UID, c.Process.GID)
	if err != nil {
		out.abandon()
		return nil, err
	}
	return []*stream{out, errs}, nil
}

// sameWriter compares two writers, of which some cannot be compared.
func sameWriter(a, b io.Writer) (same bool) {
	defer func() {
		if recover() != nil {
			same = false
		}
	}()
	return a == b
}

// commandPlan fills in what is special about a command. Its root is made of layers, or empty.
func (d *Driver) commandPlan(c Command, binds []Bind) *plan {
	pl := &plan{
		host: d.host, hostname: c.ID, courtesies: d.network.files(c.ID), layers: c.Layers, binds: binds, links: c.Links, process: c.Process, files: c.Files,
		writable: d.opts.WritableBytes, fileSize: c.FileBytes, stdin: d.host.null, listen: -1, hostNet: -1,
	}
	if c.WritableBytes > 0 {
		pl.writable = c.WritableBytes
	}
	if c.HostNetwork {
		pl.courtesies = hostNames()
		pl.hostNet = d.network.host
		pl.shareNet = true
	}
	return pl
}

func (d *Driver) checkCommand(c Command) ([]Bind, error) {
	if err := checkID(c.ID); err != nil {
		return nil, err
	}
	if len(c.Process.Args) == 0 || c.Process.Args[0] == "" {
		return nil, errors.New("no command")
	}
	if c.Process.UID >= d.opts.IDCount || c.Process.GID >= d.opts.IDCount {
		return nil, fmt.Errorf("user %d:%d is out of range: must be below %d", c.Process.UID, c.Process.GID, d.opts.IDCount)
	}
	binds := slices.Clone(c.Binds)
	for i, b := range binds {
		if err := checkBind(b); err != nil {
			return nil, err
		}
		info, err := os.Stat(b.Host)
		if err != nil {
			return nil, fmt.Errorf("binding %s: %w", b.Host, err)
		}
		if !b.ReadOnly && !d.host.rootless && !d.host.idmap {
			return nil, fmt.Errorf("binding %s to be written: the kernel must be 5.19 or newer", b.Host)
		}
		binds[i].file = !info.IsDir()
	}
	// What lies inside another bind comes after it.
	slices.SortStableFunc(binds, func(a, b Bind) int { return strings.Compare(a.Path, b.Path) })
	for p := range c.Links {
		if !strings.HasPrefix(p, "/") {
			return nil, fmt.Errorf("link %q: must be absolute", p)
		}
	}
	room := d.opts.WritableBytes
	if c.WritableBytes > 0 {
		room = c.WritableBytes
	}
	if err := checkWords(c.Process, c.Limits); err != nil {
		return nil, err
	}
	if err := checkFiles(c.Files, room); err != nil {
		return nil, err
	}
	return binds, checkLimits(d.control, c.Limits, d.opts.AllowUnlimited)
}

var _ Runner = (*Driver)(nil)
