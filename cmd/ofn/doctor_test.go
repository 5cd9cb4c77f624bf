package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	d := directory(filepath.Join(dir, "not", "made"))
	if d.Err != nil || d.FreeBytes == 0 {
		t.Errorf("got %+v", d)
	}
	if _, err := os.Stat(filepath.Join(dir, "not")); !os.IsNotExist(err) {
		t.Error("looking at a directory made it")
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if d := directory(filepath.Join(file, "below")); d.Err == nil {
		t.Errorf("a directory below a file: %+v", d)
	}
}

func TestRunningAs(t *testing.T) {
	dir := t.TempDir()
	if pid := runningAs(dir); pid != 0 {
		t.Errorf("an empty directory is used by %d", pid)
	}
	f, err := os.OpenFile(filepath.Join(dir, "ofn.pid"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("4711"); err != nil {
		t.Fatal(err)
	}
	if pid := runningAs(dir); pid != 0 {
		t.Errorf("a left pid counts as %d", pid)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if pid := runningAs(dir); pid != 4711 {
		t.Errorf("got %d", pid)
	}
}

func TestReach(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusNotFound) // a proxy has nothing at its root
	}))
	secret := strings.Replace(server.URL, "://", "://user:secret@", 1)
	remote, clocks := reach(t.Context(), secret)
	if remote.Err != nil || len(clocks) != 1 || clocks[0].Ahead < 59*time.Minute || strings.Contains(remote.URL, "secret") {
		t.Errorf("got %+v %+v", remote, clocks)
	}
	server.Close()
	if remote, _ := reach(t.Context(), secret); remote.Err == nil || strings.Contains(remote.Err.Error(), "secret") {
		t.Errorf("got %+v", remote)
	}
}

func TestPorts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &settings{gatewayAddress: l.Addr().String(), apiAddress: "127.0.0.1", metricsAddress: ""}
	got := s.ports(t.Context())
	if len(got) != 2 || got[0].Err == nil || got[1].Err != nil {
		t.Errorf("got %+v", got)
	}
}
