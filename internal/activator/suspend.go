package activator

// Suspend gives a copy no new request until Resume. Its requests go on. A copy that is unknown or draining stays as it is.
func (r *Revision) Suspend(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.byID[id]; e != nil {
		r.unready(e)
	}
}

// Resume lets a suspended copy have requests again.
func (r *Revision) Resume(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.byID[id]
	if e == nil || e.draining {
		return
	}
	r.unready(e) // it may have been there all the time
	r.ready = append(r.ready, e)
	r.dispatch()
}
