package servers

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
)

// PostgreSQL has a database named User, owned by the superuser User with the password "secret" unless Password says another. It
// takes logical replication.
func PostgreSQL(t T, opts ...Option) *Server {
	t.Helper()
	bin, o, port, dir := postgresPrograms(t), build(opts), FreePort(t), folder(t, "postgresql")
	if o.password == "" {
		o.password = "secret"
	}
	own(t, dir)
	pass := write(t, dir, "pass", o.password)
	data := filepath.Join(dir, "data")
	initialise(t, spec{
		name: "postgresql", dir: dir, nobody: true,
		argv: []string{filepath.Join(bin, "initdb"), "-D", data, "-U", User, "--pwfile", pass, "-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync"},
	})
	srv := &Server{Addr: loopback(port), User: User, Password: o.password}
	srv.URL = (&url.URL{Scheme: "postgres", Host: srv.Addr, User: url.UserPassword(User, o.password), Path: "/postgres", RawQuery: "sslmode=disable"}).String()
	argv := []string{
		filepath.Join(bin, "postgres"), "-D", data, "-p", fmt.Sprint(port), "-h", "127.0.0.1", "-k", dir,
		"-c", "wal_level=logical", "-c", "max_connections=200", "-c", "shared_buffers=16MB",
	}
	for _, s := range o.settings {
		argv = append(argv, "-c", s)
	}
	return launch(t, srv, spec{
		name: "postgresql", argv: argv, dir: dir, nobody: true,
		before: func(context.Context) error { return removeStale(filepath.Join(data, "postmaster.pid")) },
		// A password request answers the start-up message of protocol 3: the server is up, not only listening.
		ready: talk(srv.Addr, "\x00\x00\x00\x1d\x00\x03\x00\x00user\x00ofn\x00database\x00x\x00\x00\x00", "R"),
	})
}

// removeStale removes what a killed server left behind.
func removeStale(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

func postgresPrograms(t T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.Sort(found)
	for _, dir := range slices.Backward(found) {
		if _, err := exec.LookPath(filepath.Join(dir, "initdb")); err == nil {
			return dir
		}
	}
	return filepath.Dir(program(t, "postgresql", "initdb"))
}

// MariaDB has a database "test" and the user User, who may do everything, with the password "secret" unless Password says
// another. It writes a row based binary log.
func MariaDB(t T, opts ...Option) *Server {
	t.Helper()
	bin, install := program(t, "mariadb-server", "mariadbd"), program(t, "mariadb-server", "mariadb-install-db")
	o, port, dir := build(opts), FreePort(t), folder(t, "mariadb")
	if o.password == "" {
		o.password = "secret"
	}
	data := filepath.Join(dir, "data")
	common := []string{"--no-defaults", "--datadir=" + data, "--socket=" + filepath.Join(dir, "s"), "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M"}
	owner := "--user=root"
	if os.Getuid() != 0 {
		owner = "--skip-name-resolve"
	}
	initialise(t, spec{
		name: "mariadb", dir: dir,
		argv: append([]string{install, common[0], "--auth-root-authentication-method=normal", "--skip-test-db", owner}, common[1:]...),
	})
	grant := write(t, dir, "init.sql", "CREATE DATABASE IF NOT EXISTS test;",
		fmt.Sprintf("CREATE USER IF NOT EXISTS '%s'@'%%' IDENTIFIED BY '%s';", User, o.password),
		fmt.Sprintf("GRANT ALL ON *.* TO '%s'@'%%' WITH GRANT OPTION;", User))
	srv := &Server{Addr: loopback(port), User: User, Password: o.password}
	srv.URL = fmt.Sprintf("%s:%s@tcp(%s)/test", User, o.password, srv.Addr) // what database/sql's driver takes
	argv := append(append([]string{bin}, common...), owner, fmt.Sprintf("--port=%d", port), "--bind-address=127.0.0.1", "--init-file="+grant,
		"--log-bin="+filepath.Join(dir, "binlog"), "--binlog-format=ROW", "--server-id=1", "--skip-name-resolve")
	for _, s := range o.settings {
		argv = append(argv, "--"+s)
	}
	return launch(t, srv, spec{name: "mariadb", argv: argv, dir: dir, ready: greets(srv.Addr)})
}

// greets is the readiness of servers that speak first.
func greets(addr string) func(context.Context) error {
	return func(ctx context.Context) error { return talkFirst(ctx, addr) }
}

// initialise runs what makes a server's data directory.
func initialise(t T, s spec) {
	t.Helper()
	p, err := startProcess(s)
	if err != nil {
		t.Fatalf("initialising %s: %v", s.name, err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	select {
	case <-p.ended:
	case <-ctx.Done():
		p.kill()
	}
	if p.code != 0 {
		t.Fatalf("initialising %s failed:\n%s", s.name, p.output)
	}
}

// own gives a directory to the user that a server runs as.
func own(t T, dir string) {
	t.Helper()
	if c := ordinary(); c != nil {
		if err := syscall.Chown(dir, int(c.Uid), int(c.Gid)); err != nil {
			t.Fatalf("giving %s away: %v", dir, err)
		}
	}
}
