package guest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tetratelabs/wazero/api"
)

// snapshot is a handler's state after its initialisation: memory and mutable globals.
type snapshot struct {
	image   *Image
	globals []uint64 // in the order of binary.Module.Globals
}

// mostSnapshots bounds how many are kept of one program.
const mostSnapshots = 16

// shared is the place of a snapshot that makers share.
type shared struct {
	mu       sync.Mutex // held while an instance is initialised
	snapshot *snapshot
	never    bool // there cannot be one

	spares spares
}

// begun is the snapshot; nil when there is none, or not yet.
func (s *shared) begun() *snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot
}

// share finds the place that makers with the same key share. When there are too many, one is forgotten: those who have it keep it.
func (p *Program) share(key string) *shared {
	p.mu.Lock()
	if s := p.shared[key]; s != nil {
		p.mu.Unlock()
		return s
	}
	var old []*shared
	for k, s := range p.shared {
		if len(p.shared) < mostSnapshots {
			break
		}
		delete(p.shared, k)
		old = append(old, s)
	}
	if p.shared == nil {
		p.shared = map[string]*shared{}
	}
	s := &shared{}
	p.shared[key] = s
	p.mu.Unlock()
	for _, o := range old {
		o.spares.close()
	}
	return s
}

// Handler makes an instance that is ready to be called.
func (m *Maker) Handler(ctx context.Context) (*Instance, error) {
	if i := m.adopt(); i != nil {
		return i, nil
	}
	m.shared.mu.Lock()
	if s := m.shared.snapshot; s != nil {
		m.shared.mu.Unlock()
		return m.restore(ctx, s)
	}
	if m.shared.never {
		m.shared.mu.Unlock()
		return m.initialised(ctx)
	}
	defer m.shared.mu.Unlock() // those that come meanwhile wait for what the first one makes
	i, err := m.initialised(ctx)
	if err != nil {
		return nil, err
	}
	if !i.restorable() {
		m.shared.never = true
		return i, nil
	}
	if m.shared.snapshot, err = i.snapshot(); err != nil {
		i.Close()
		return nil, err
	}
	return i, nil
}

// initialised makes an instance and initialises it.
func (m *Maker) initialised(ctx context.Context) (*Instance, error) {
	i, err := m.instantiate(ctx, m.config, m.program.initial, nil)
	if err != nil {
		return nil, err
	}
	if i.module.ExportedFunction(exportInitialize) != nil {
		if err := i.call(ctx, exportInitialize); err != nil {
			i.Close()
			return nil, m.initError(err)
		}
	}
	return i, nil
}

func (m *Maker) initError(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	reason := ReasonInit
	if OutOfMemory(err) {
		reason = ReasonMemory
	}
	return &ModuleError{reason, fmt.Sprintf("the module failed while it was initialised (%s): %v", exportInitialize, err)}
}

// Snapshotted is whether instances begin with a copy of an initialised memory.
func (m *Maker) Snapshotted() bool {
	m.shared.mu.Lock()
	defer m.shared.mu.Unlock()
	return m.shared.snapshot != nil
}

// restorable is whether memory and globals are all of the state there is: nothing is open, no table was changed and the module does not
// object.
func (i *Instance) restorable() bool {
	p := i.maker.program
	if p.rewritten == nil || !p.rewritten.Restorable || i.open != 0 || !i.sockets.empty() {
		return false
	}
	return p.compiled.ExportedFunctions()[exportFresh] == nil && i.module.ExportedGlobal(exportFresh) == nil
}

func (i *Instance) snapshot() (*snapshot, error) {
	all, ok := i.module.Memory().Read(0, i.module.Memory().Size())
	if !ok {
		return nil, errors.New("reading the memory of an initialised module")
	}
	image, err := imageOf(all)
	if err != nil {
		return nil, err
	}
	s := &snapshot{image: image}
	for _, name := range i.maker.program.rewritten.Globals {
		s.globals = append(s.globals, i.module.ExportedGlobal(name).Get())
	}
	return s, nil
}

// restore makes an instance of a snapshot.
func (m *Maker) restore(ctx context.Context, s *snapshot) (*Instance, error) {
	i, err := m.instantiate(ctx, m.config, s.image, nil)
	if err != nil {
		return nil, err
	}
	for n, name := range m.program.rewritten.Globals {
		g, ok := i.module.ExportedGlobal(name).(api.MutableGlobal)
		if !ok {
			i.Close()
			return nil, fmt.Errorf("restoring a module: %s is no mutable global", name)
		}
		g.Set(s.globals[n])
	}
	return i, nil
}
