package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

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
			p, err := holder.Wait(cmd.Context(), l, holder.Options{TokenHash: args[0], Dir: dir, Most: mostProgram, Environ: os.Environ(), Log: log})
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

// become puts a program in the place of this process. A folder of the program's image need not be here: it had nothing else in it.
func become(p *holder.Program) error {
	dir := p.Dir
	if dir == "" || os.Chdir(dir) != nil {
		if err := os.Chdir(filepath.Dir(p.Path)); err != nil {
			return fmt.Errorf("going to the program's folder: %w", err)
		}
	}
	return fmt.Errorf("executing the program %s: %w", p.Args[0], syscall.Exec(p.Path, p.Args, p.Env)) //nolint:gosec // that is what it is for
}
