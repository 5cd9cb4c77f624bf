package cli

import (
	"fmt"
	"path/filepath"
	"strings"
)

// rightDir refuses a directory that has no source but contains those of functions: most likely one of these was meant.
func rightDir(dir string) error {
	if _, found := detect(dir); found {
		return nil
	}
	inside, err := filepath.Glob(filepath.Join(dir, "*", manifestName))
	if err != nil || len(inside) == 0 {
		return nil // the build tells what it misses
	}
	var names []string
	for _, path := range inside {
		names = append(names, argument(filepath.Dir(path)))
	}
	return fmt.Errorf("%s has neither a %s nor source, but there are functions in it: deploy one of %s", dir, manifestName, strings.Join(names, ", "))
}
