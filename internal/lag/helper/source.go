package helper

import (
	"crypto/sha256"
	_ "embed" // the source of the program
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/tools/txtar"
)

//go:embed source.txtar
var source []byte

// digest names the source.
func digest() string {
	sum := sha256.Sum256(source)
	return hex.EncodeToString(sum[:8])
}

// unpack writes the source into a directory.
func unpack(dir string) error {
	for _, f := range txtar.Parse(source).Files {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return fmt.Errorf("unpacking the source: %w", err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			return fmt.Errorf("unpacking the source: %w", err)
		}
	}
	return nil
}
