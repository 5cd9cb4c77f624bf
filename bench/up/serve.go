package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"github.com/openfunction/ofn/config/crd"
	"github.com/openfunction/ofn/internal/kubeapi"
)

// gcPercent trades a little processor time for memory, as the program does.
const gcPercent = 50

// serveControlPlane is the measured process.
func serveControlPlane(ctx context.Context, dir, profile string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	kubeapi.RouteKlog(log)
	crds, err := crd.Objects()
	if err != nil {
		return err
	}
	debug.SetGCPercent(gcPercent)
	endStart, err := profileCPU(profile, "start.pprof")
	if err != nil {
		return err
	}
	server, err := kubeapi.Start(ctx, kubeapi.Options{DataDir: dir, Port: kubeapi.AnyPort, CRDs: crds, Log: log})
	endStart()
	if err != nil {
		return err
	}
	fmt.Println("ready")
	// As the program does: what only the start needed goes back to the system.
	debug.FreeOSMemory()
	if profile != "" {
		err = profileIdle(ctx, profile)
	}
	<-ctx.Done()
	return errors.Join(err, server.Close(context.WithoutCancel(ctx)))
}

func profileCPU(dir, name string) (end func(), err error) {
	if dir == "" {
		return func() {}, nil
	}
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, nil
}

func profileIdle(ctx context.Context, dir string) error {
	_ = pause(ctx, 10*time.Second)
	end, err := profileCPU(dir, "idle.pprof")
	if err != nil {
		return err
	}
	_ = pause(ctx, 30*time.Second)
	end()
	f, err := os.Create(filepath.Join(dir, "heap.pprof"))
	if err != nil {
		return err
	}
	runtime.GC()
	return errors.Join(pprof.WriteHeapProfile(f), f.Close())
}
