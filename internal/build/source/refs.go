package source

import (
	"context"
	"strings"

	"github.com/openfunction/ofn/internal/build"
)

// ref is what a revision turned out to be. A commit has neither name nor branch, an abbreviated one has no sha either.
type ref struct {
	name   string // "refs/heads/main"
	branch string // "main", when it is one
	sha    string
}

// refs are those of a remote.
type refs struct {
	sha  map[string]string // by full name; a tag's is the commit it points to
	head string            // full name of the default branch
}

func (r *repository) list(ctx context.Context) (refs, error) {
	out, err := r.git(ctx, "ls-remote", "--quiet", "--symref", "--", r.remote.url, "HEAD", "refs/heads/*", "refs/tags/*")
	if err != nil {
		return refs{}, err
	}
	return parseRefs(out), nil
}

// parseRefs reads lines such as "ref: refs/heads/main\tHEAD", "<sha>\trefs/tags/v1" and, for what an annotated tag points to,
// "<sha>\trefs/tags/v1^{}".
func parseRefs(out string) refs {
	rs := refs{sha: map[string]string{}}
	for line := range strings.Lines(out) {
		left, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			continue
		}
		if target, symbolic := strings.CutPrefix(left, "ref: "); symbolic {
			if name == "HEAD" {
				rs.head = target
			}
			continue
		}
		rs.sha[strings.TrimSuffix(name, "^{}")] = left
	}
	return rs
}

// find prefers a branch over a tag over a commit of the same name, and takes full names too.
func (rs refs) find(s build.Source) (ref, error) {
	rev := s.Revision
	if rev == "" || rev == "HEAD" {
		sha, ok := rs.sha["HEAD"]
		if !ok {
			return ref{}, failure("SourceNotFound", "%s has no default branch: it is empty, or name a revision", s.URL)
		}
		return ref{name: "HEAD", branch: strings.TrimPrefix(rs.head, "refs/heads/"), sha: sha}, nil
	}
	for _, name := range []string{"refs/heads/" + rev, "refs/tags/" + rev, rev} {
		if sha, ok := rs.sha[name]; ok {
			r := ref{name: name, sha: sha}
			r.branch, _ = strings.CutPrefix(name, "refs/heads/")
			if !strings.HasPrefix(name, "refs/heads/") {
				r.branch = ""
			}
			return r, nil
		}
	}
	if fullSHA.MatchString(rev) {
		return ref{sha: strings.ToLower(rev)}, nil
	}
	if shortSHA.MatchString(rev) {
		return ref{}, nil
	}
	return ref{}, failure("SourceNotFound", "revision %q is not a branch, tag or commit of %s; %s", rev, s.URL, rs.branches())
}

func (rs refs) branches() string {
	const most = 12
	var names []string
	for name := range rs.sha {
		if b, ok := strings.CutPrefix(name, "refs/heads/"); ok {
			names = append(names, b)
		}
	}
	return listed("its branches: ", "it has no branches", names, most)
}
