package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// State keeps the place of sources whose broker does not: one small file each, durable when Save returns.
type State struct {
	// Dir is made when it is first needed.
	Dir string
	// Keeper, when it is set, keeps them instead of files.
	Keeper Keeper
}

// Keeper keeps small texts by key. What Save was given is durable when it returns.
type Keeper interface {
	// Load gives nil when there is nothing.
	Load(key string) ([]byte, error)
	Save(key string, value []byte) error
	// Forget is no error where there is nothing.
	Forget(key string) error
}

func key(i Identity) string { return Hash(i.Kind, i.Namespace, i.Name, i.Event) }

func (s State) path(i Identity) string { return filepath.Join(s.Dir, key(i)+".json") }

func (s State) read(i Identity) ([]byte, error) {
	if s.Keeper != nil {
		return s.Keeper.Load(key(i))
	}
	b, err := os.ReadFile(s.path(i))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// Load reads what Save kept; found is false when there is nothing.
func (s State) Load(i Identity, into any) (found bool, err error) {
	b, err := s.read(i)
	if err == nil && b == nil {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		return false, fmt.Errorf("reading where source %s was: %w", i.URI(), err)
	}
	return true, nil
}

// Save replaces what is kept.
func (s State) Save(i Identity, value any) error {
	if err := s.save(i, value); err != nil {
		return fmt.Errorf("keeping where source %s is: %w", i.URI(), err)
	}
	return nil
}

func (s State) save(i Identity, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if s.Keeper != nil {
		return s.Keeper.Save(key(i), b)
	}
	return s.write(i, b)
}

func (s State) write(i Identity, b []byte) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.Dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), s.path(i)); err != nil {
		return err
	}
	d, err := os.Open(s.Dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Forget removes what is kept of a source that was deleted.
func (s State) Forget(i Identity) error {
	if s.Keeper != nil {
		return s.Keeper.Forget(key(i))
	}
	if err := os.Remove(s.path(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
