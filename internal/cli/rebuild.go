package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/cli/progress"
)

// patch changes fields of a function by a JSON merge patch. fn becomes what the server made of it.
func (s *session) patch(ctx context.Context, fn *v1beta2.Function, change map[string]any) error {
	data, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("changing function %s: %w", fn.Name, err)
	}
	return s.Client.Patch(ctx, fn, client.RawPatch(types.MergePatchType, data), client.FieldOwner(fieldManager))
}

func (a *app) rebuildCommand() *cobra.Command {
	var wait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "rebuild NAME",
		Short: "Build a function again, from what its source is now",
		Long: `Build a function again, from what its source is now: the newest commit of its branch, or the bundle it was deployed with.

A directory that has changed is deployed anew with ` + "`ofn deploy`.",
		Args:              exactly(1, "the name of a function"),
		ValidArgsFunction: a.completeFunction,
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "follow the build until the function is ready")
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "how long --wait waits")
	cmd.RunE = a.with(func(ctx context.Context, s *session, args []string) error {
		fn, err := s.function(ctx, args[0])
		if err != nil {
			return err
		}
		if fn.Spec.Build == nil {
			return fmt.Errorf("function %s is not built here: it runs the image %s", fn.Name, fn.Spec.Image)
		}
		before := fn.DeepCopy()
		stamp := time.Now().UTC().Format(time.RFC3339Nano)
		err = s.patch(ctx, fn, map[string]any{"metadata": map[string]any{"annotations": map[string]any{v1beta2.AnnotationRebuild: stamp}}})
		if err != nil {
			return err
		}
		if !wait {
			fmt.Fprintf(a.env.Out, "function %s is built again; follow it with `ofn logs %s --build -f`\n", fn.Name, targetOf(fn))
			return nil
		}
		display := progress.New(a.env.Err, a.env.Terminal, clock.RealClock{})
		defer display.Close()
		fn, err = s.follow(ctx, display, awaited{key: keyOf(fn), generation: fn.Generation, before: before, rebuilt: true, timeout: timeout})
		if err != nil {
			return err
		}
		display.Close()
		s.announce(fn)
		return nil
	})
	return cmd
}
