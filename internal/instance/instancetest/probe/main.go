//go:build linux

// Command probe is what instancetest runs inside an instance: it looks around and reports what it can do.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	switch arg(1) {
	case "serve":
		serve()
	case "ignore-term":
		signal.Ignore(syscall.SIGTERM)
		serve()
	case "graceful":
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		go serve()
		<-c
		fmt.Println("going")
		os.Exit(7)
	case "exit":
		n, _ := strconv.Atoi(arg(2))
		os.Exit(n)
	case "print":
		for i := range 100 {
			fmt.Printf("out %d\n", i)
			fmt.Fprintf(os.Stderr, "err %d\n", i)
		}
		fmt.Print("unfinished")
	case "sleep":
		time.Sleep(time.Hour)
	case "do":
		reply, err := do(os.Args[2:])
		fmt.Print(reply)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func arg(i int) string {
	if i < len(os.Args) {
		return os.Args[i]
	}
	return ""
}

func serve() {
	var l net.Listener
	var err error
	if os.Getenv("LISTEN_FDS") == "1" && os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
		l, err = net.FileListener(os.NewFile(3, "activation"))
	} else {
		l, err = net.Listen("tcp", ":"+os.Getenv("PORT"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "listening:", err)
		os.Exit(3)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(4)
		}
		go answer(c)
	}
}

// answer performs one line and writes "ok" or "failed", a line end and the reply.
func answer(c net.Conn) {
	defer c.Close()
	line, _ := bufio.NewReader(c).ReadString('\n')
	reply, err := do(strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	if err != nil {
		fmt.Fprintf(c, "failed\n%v", err)
		return
	}
	fmt.Fprintf(c, "ok\n%s", reply)
}

func do(f []string) (string, error) {
	at := func(i int) string {
		if i < len(f) {
			return f[i]
		}
		return ""
	}
	n, _ := strconv.Atoi(at(1))
	switch f[0] {
	case "hello":
		return "hello", nil
	case "read":
		b, err := os.ReadFile(at(1))
		return string(b), err
	case "write":
		return "", os.WriteFile(at(1), []byte(at(2)), 0o644)
	case "append":
		return "", appendTo(at(1), at(2))
	case "list":
		return list(at(1))
	case "mode":
		info, err := os.Stat(at(1))
		if err != nil {
			return "", err
		}
		st := info.Sys().(*syscall.Stat_t)
		return fmt.Sprintf("%o %d:%d", info.Mode().Perm(), st.Uid, st.Gid), nil
	case "env":
		return strings.Join(os.Environ(), "\n"), nil
	case "whoami":
		host, err := os.Hostname()
		dir, _ := os.Getwd()
		return fmt.Sprintf("%d:%d %d %s %s", os.Getuid(), os.Getgid(), os.Getpid(), host, dir), err
	case "dial":
		c, err := net.DialTimeout(at(1), at(2), 500*time.Millisecond)
		if err == nil {
			c.Close()
		}
		return "", err
	case "hear":
		c, err := net.DialTimeout(at(1), at(2), 2*time.Second)
		if err != nil {
			return "", err
		}
		defer c.Close()
		b, err := io.ReadAll(c)
		return string(b), err
	case "addresses":
		as, err := net.InterfaceAddrs()
		return fmt.Sprint(as), err
	case "fill":
		return fill(at(1), n)
	case "alloc":
		return "", allocate(n)
	case "spawn":
		return spawn(n)
	case "crowd":
		if got, _ := spawn(n); got != at(1) {
			return got, fmt.Errorf("%s of %d processes could be started", got, n)
		}
		return at(1), nil
	case "child": // does the rest in another process
		return child(f[1:])
	case "shell": // the same, and fails as it did
		out, err := child(f[1:])
		if err != nil {
			os.Exit(128 + 9)
		}
		return out, nil
	case "spin":
		return spin(time.Duration(n) * time.Millisecond), nil
	case "call":
		return call(at(1))
	case "exit":
		os.Exit(n)
	}
	return "", fmt.Errorf("unknown request %q", f)
}

func appendTo(name, data string) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.WriteString(f, data)
	return err
}

func list(dir string) (string, error) {
	es, err := os.ReadDir(dir)
	names := make([]string, 0, len(es))
	for _, e := range es {
		names = append(names, e.Name())
	}
	return strings.Join(names, "\n"), err
}

// fill writes up to n MiB to the file that its first argument names, and then says how much fitted.
func fill(name string, _ int) (string, error) {
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for i := range 1024 {
		if _, err := f.Write(block); err != nil {
			return fmt.Sprintf("%d MiB: %v", i, err), nil
		}
	}
	return "all of it", nil
}

func allocate(mib int) error {
	b, err := syscall.Mmap(-1, 0, mib<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	return nil
}

// spawn starts up to n processes and says how many there were room for.
func spawn(n int) (string, error) {
	started := 0
	for range n {
		c := exec.Command("/proc/self/exe", "sleep")
		if err := c.Start(); err != nil {
			return strconv.Itoa(started), nil
		}
		started++
	}
	return strconv.Itoa(started), nil
}

func child(request []string) (string, error) {
	out, err := exec.Command("/proc/self/exe", append([]string{"do"}, request...)...).CombinedOutput()
	return string(out), err
}

// spin works for a time and says how much processor time it got, in milliseconds.
func spin(d time.Duration) string {
	used := func() time.Duration {
		var ru syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
		return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	}
	before := used()
	for end := time.Now().Add(d); time.Now().Before(end); {
	}
	return strconv.FormatInt((used() - before).Milliseconds(), 10)
}
