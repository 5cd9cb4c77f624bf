package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/openfunction/ofn/internal/image/unpack"
	"github.com/openfunction/ofn/internal/instance/drivers/pods/holder"
	"github.com/openfunction/ofn/internal/instance/drivers/pods/pool"
)

// holdCommand is what warm pods run.
func holdCommand() *cobra.Command {
	var address, dir string
	cmd := &cobra.Command{
		Use:    "hold TOKEN-HASH",
		Short:  "Wait for a program, and become it",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := logger("info", "")
			if err != nil {
				return err
			}
			l, err := listen(cmd.Context(), address, "--address")
			if err != nil {
				return err
			}
			p, err := holder.Wait(cmd.Context(), l, holder.Options{TokenHash: args[0], Dir: dir, Most: mostProgram, Unpack: unpackFiles, Environ: os.Environ(), Log: log})
			if err != nil {
				return err
			}
			return become(p)
		},
	}
	cmd.Flags().StringVar(&address, "address", fmt.Sprintf(":%d", holder.Port), "address and port to wait at")
	cmd.Flags().StringVar(&dir, "dir", pool.Folder, "empty folder for the program")
	return cmd
}

// unpackFiles puts the files of a function where its image has them, which are folders that the pod has room in.
func unpackFiles(ctx context.Context, archive io.Reader) error {
	_, err := unpack.Tar(ctx, "/", archive, unpack.Options{})
	return err
}

// become puts a program in the place of this process. A folder of a program that stands alone need not be here: it had nothing else in it.
func become(p *holder.Program) error {
	file, dir := p.Path, p.Dir
	switch {
	case p.Files:
		if dir == "" {
			dir = "/"
		}
		if err := os.Chdir(dir); err != nil {
			return fmt.Errorf("going to the program's folder: %w", err)
		}
		var err error
		if file, err = findProgram(p); err != nil {
			return err
		}
	case dir == "" || os.Chdir(dir) != nil:
		if err := os.Chdir(filepath.Dir(file)); err != nil {
			return fmt.Errorf("going to the program's folder: %w", err)
		}
	}
	return fmt.Errorf("executing the program %s: %w", p.Args[0], syscall.Exec(file, p.Args, p.Env)) //nolint:gosec // that is what it is for
}

// findProgram looks for the program among the files, where the image may name it without its folder.
func findProgram(p *holder.Program) (string, error) {
	for _, kv := range p.Env {
		if list, ok := strings.CutPrefix(kv, "PATH="); ok {
			if err := os.Setenv("PATH", list); err != nil {
				return "", fmt.Errorf("looking for the program: %w", err)
			}
		}
	}
	file, err := exec.LookPath(p.Args[0])
	if err != nil {
		return "", fmt.Errorf("looking for the program: %w", err)
	}
	return file, nil
}
