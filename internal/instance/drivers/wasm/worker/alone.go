package worker

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/openfunction/ofn/internal/instance/drivers/wasm/wire"
)

// Alone is a module that is served by itself.
type Alone struct {
	Module    []byte
	Args, Env []string
	Log       io.Writer // takes its standard output and standard error
}

// headerProbe marks the question whether a function is ready, which functions of other kinds answer through their framework.
const headerProbe = "K-Network-Probe"

// ServeAlone serves one module on a listener until ctx ends: what a developer needs, without driver, limits and other copies. It fails when
// the module cannot be one of a function, and when a server ends by itself.
func ServeAlone(ctx context.Context, l net.Listener, o Options, a Alone) error {
	w, err := newWorker(ctx, o)
	if err != nil {
		return err
	}
	defer w.close()
	p, err := w.runtime.Compile(ctx, a.Module)
	if err != nil {
		return err
	}
	const name = "function"
	w.modules[name] = &module{program: p}
	s := wire.Start{ID: name, Module: name, Args: a.Args, Env: a.Env, Early: true}
	c, err := w.newCopy(ctx, s, newCopyLog(func(p []byte) { _, _ = a.Log.Write(p) }, 0))
	if err != nil {
		return err
	}
	w.calls.Handler = http.HandlerFunc(callOrProbe)
	w.running.Go(func() { _ = w.calls.Serve(w.toCopy) })
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	w.running.Go(func() { c.acceptFrom(l) })
	exit := c.live(ctx, nil)
	w.forget(c)
	_ = l.Close()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("the module ended with code %d", exit.Code)
}

// callOrProbe answers the question whether the function is ready: it is.
func callOrProbe(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get(headerProbe) == "" {
		call(w, r)
	}
}

// acceptFrom takes connections until the listener is closed.
func (c *copyOf) acceptFrom(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if !c.connect(conn, false) {
			_ = conn.Close()
		}
	}
}
