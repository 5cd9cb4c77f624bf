package source

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/openfunction/ofn/internal/build"
)

var (
	fullSHA  = regexp.MustCompile(`^[0-9a-fA-F]{40}$|^[0-9a-fA-F]{64}$`)
	shortSHA = regexp.MustCompile(`^[0-9a-fA-F]{7,63}$`)
)

// repository is one git conversation: the remote, its credentials and where git keeps its own files meanwhile.
type repository struct {
	opts   Options
	remote remote
	auth   build.Auth
	state  string // holds GIT_DIR, ssh key and an empty HOME
	tree   string // work tree; empty for ls-remote
}

func (f *Fetcher) open(s build.Source, state, tree string) (*repository, error) {
	rem, err := f.parseRemote(s.URL)
	if err != nil {
		return nil, err
	}
	if f.opts.Git == "" {
		return nil, failure("SourceUnreachable", "%s is a git repository, but this machine has no git: install it and start ofn again", s.URL)
	}
	if rem.scheme == "ssh" && f.opts.SSH == "" {
		return nil, failure("SourceUnreachable", "%s is fetched over ssh, but this machine has no ssh client: install one (openssh-client), or use the https address", s.URL)
	}
	if strings.HasPrefix(s.Revision, "-") || strings.ContainsAny(s.Revision, " ~^:?*[\\\n") {
		return nil, failure("SourceInvalid", "revision %q is not the name of a branch, tag or commit", s.Revision)
	}
	r := &repository{opts: f.opts, remote: rem, auth: s.Auth, state: state, tree: tree}
	return r, r.writeKey()
}

func (f *Fetcher) headGit(ctx context.Context, s build.Source) (string, error) {
	state, err := os.MkdirTemp("", "ofn-git-")
	if err != nil {
		return "", fmt.Errorf("preparing to ask %s: %w", s.URL, err)
	}
	defer os.RemoveAll(state)
	r, err := f.open(s, state, "")
	if err != nil {
		return "", err
	}
	if fullSHA.MatchString(s.Revision) {
		return strings.ToLower(s.Revision), nil
	}
	refs, err := r.list(ctx)
	if err != nil {
		return "", because(ctx, err)
	}
	ref, err := refs.find(s)
	if err != nil {
		return "", err
	}
	if ref.sha == "" { // an abbreviated commit never moves
		return strings.ToLower(s.Revision), nil
	}
	return ref.sha, nil
}

func (f *Fetcher) fetchGit(ctx context.Context, s build.Source, dir string, log io.Writer) (build.SourceResult, error) {
	var none build.SourceResult
	state := filepath.Join(dir, ".git")
	if err := os.Mkdir(state, 0o700); err != nil {
		return none, fmt.Errorf("preparing to fetch %s: %w", s.URL, err)
	}
	defer os.RemoveAll(state)
	r, err := f.open(s, state, dir)
	if err != nil {
		return none, err
	}
	fmt.Fprintf(log, "fetching %s %s\n", s.URL, s.Revision)
	refs, err := r.list(ctx)
	if err != nil {
		return none, err
	}
	ref, err := refs.find(s)
	if err != nil {
		return none, err
	}
	if err := r.fetch(ctx, s, ref); err != nil {
		return none, err
	}
	if err := r.checkout(ctx, log); err != nil {
		return none, err
	}
	return r.describe(ctx, ref)
}

// fetch leaves what ref names in FETCH_HEAD, without history where the server allows.
func (r *repository) fetch(ctx context.Context, s build.Source, ref ref) error {
	if _, err := r.git(ctx, "init", "--quiet", "--template="); err != nil {
		return err
	}
	base := []string{"fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-auto-gc"}
	want := ref.name
	if want == "" && fullSHA.MatchString(s.Revision) {
		want = s.Revision
	}
	if want != "" {
		_, err := r.git(ctx, append(base, "--depth=1", "--", r.remote.url, want)...)
		if err == nil || ref.name != "" || ctx.Err() != nil {
			return err
		}
	}
	// A commit that is no tip of anything: some servers only give it with the whole history.
	if _, err := r.git(ctx, append(base, "--", r.remote.url, "+refs/*:refs/ofn/*")...); err != nil {
		return err
	}
	if _, err := r.git(ctx, "update-ref", "FETCH_HEAD", s.Revision+"^{commit}"); err != nil {
		return failure("SourceNotFound", "commit %s is not in %s", s.Revision, s.URL)
	}
	return nil
}

// checkout writes FETCH_HEAD and its submodules into the work tree after making sure that it fits.
func (r *repository) checkout(ctx context.Context, log io.Writer) error {
	out, err := r.git(ctx, "ls-tree", "-r", "-l", "-z", "--full-tree", "FETCH_HEAD")
	if err != nil {
		return err
	}
	var total int64
	submodules := 0
	for line := range strings.SplitSeq(out, "\x00") {
		head, _, _ := strings.Cut(line, "\t")
		fields := strings.Fields(head)
		if len(fields) != 4 {
			continue
		}
		if fields[1] == "commit" {
			submodules++
			continue
		}
		n, _ := strconv.ParseInt(fields[3], 10, 64) // git's own number
		total += n
	}
	if total > r.opts.MaxBytes {
		return (&Fetcher{opts: r.opts}).tooLarge()
	}
	if _, err = r.git(ctx, "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD"); err != nil || submodules == 0 {
		return err
	}
	fmt.Fprintf(log, "fetching %d submodules\n", submodules)
	return r.submodules(ctx)
}

func (r *repository) describe(ctx context.Context, ref ref) (build.SourceResult, error) {
	out, err := r.git(ctx, "log", "-1", "--format=%H%x00%an", "FETCH_HEAD")
	if err != nil {
		return build.SourceResult{}, err
	}
	sha, author, _ := strings.Cut(strings.TrimSpace(out), "\x00")
	return build.SourceResult{Name: "default", CommitSHA: sha, CommitAuthor: author, BranchName: ref.branch}, nil
}

// git runs one git command in an environment where no configuration, hook, filter or prompt of anybody has a say.
func (r *repository) git(ctx context.Context, args ...string) (string, error) {
	helper, env := r.credentials()
	full := append([]string{"-c", "core.hooksPath=/dev/null", "-c", "credential.helper=", "-c", "protocol.ext.allow=never",
		"-c", "core.symlinks=true", "-c", "core.autocrlf=false", "-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60",
		"-c", "advice.detachedHead=false", "-c", "fetch.fsckObjects=false"}, helper...)
	cmd := exec.CommandContext(ctx, r.opts.Git, append(full, args...)...)
	cmd.Dir = r.state
	cmd.Env = append([]string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "HOME=" + r.state,
		"GIT_DIR=" + filepath.Join(r.state, "repository"), "GIT_WORK_TREE=" + r.tree,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=",
		"GIT_ALLOW_PROTOCOL=" + r.protocols(), "GIT_LFS_SKIP_SMUDGE=1", "GIT_SSH_COMMAND=" + r.sshCommand(),
	}, append(env, r.opts.Env...)...)
	if r.tree == "" {
		cmd.Env = append(cmd.Env, "GIT_WORK_TREE=")
	}
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &limitedBuffer{buf: &stderr, max: 64 << 10}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", r.explain(args[0], stderr.String(), err)
	}
	return stdout.String(), nil
}

// limitedBuffer keeps the first max bytes.
type limitedBuffer struct {
	buf *bytes.Buffer
	max int
}

func (l *limitedBuffer) Write(p []byte) (int, error) {
	if room := l.max - l.buf.Len(); room > 0 {
		l.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
