package host

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

const childEnv = "HOST_TEST_CHILD"

// TestChild is not a test: it is the program that TestProcess runs.
func TestChild(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		t.Skip("run by TestProcess")
	}
	Main(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if err := rc.EnableFullDuplex(); err != nil {
			panic(err)
		}
		if err := rc.Flush(); err != nil {
			panic(err)
		}
		io.Copy(w, r.Body)
	})
}

// A process that inherited its socket finishes its request after SIGTERM and exits with 0.
func TestProcess(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("needs a shell to set LISTEN_PID: ", err)
	}
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(shell, "-c", `LISTEN_PID=$$ exec "$0" -test.run=^TestChild$`, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1", "LISTEN_FDS=1")
	cmd.ExtraFiles = []*os.File{file}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	file.Close()
	in, out := io.Pipe()
	r, err := http.NewRequest(http.MethodPost, "http://f/", in)
	if err != nil {
		t.Fatal(err)
	}
	res, err := dial(socket, new(http.Protocols)).Do(r) // returns once the handler has begun
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	io.WriteString(out, "after the signal")
	out.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "after the signal" {
		t.Errorf("response %q, %v", body, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the process ended with %v", err)
	}
}
