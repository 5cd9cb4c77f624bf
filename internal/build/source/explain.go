package source

import (
	"fmt"
	"slices"
	"strings"
)

// explain turns what git wrote into what the user must do. Git gives no codes, so this goes by its (untranslated) words;
// words it does not know are shown as they are.
func (r *repository) explain(step, stderr string, err error) error {
	said := strings.ToLower(stderr)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(said, w) })
	}
	url := r.remote.url
	switch {
	case step == "submodule":
		return failure("SourceUnreachable", "a submodule of %s cannot be fetched: %s; its address is in .gitmodules, and the secret in build.srcRepo.credentials must do for it too", url, firstFatal(stderr))
	case has("host key verification failed"):
		return failure("SourceAuth", "the ssh host key of %s is not among the known hosts of the secret: add it to its known_hosts", r.remote.host)
	case has("error in libcrypto", "invalid format"):
		return failure("SourceAuth", "the ssh key of the secret in build.srcRepo.credentials cannot be read: ssh-privatekey must hold a whole private key file")
	case has("permission denied (publickey", "load key"):
		return failure("SourceAuth", "%s refuses the ssh key%s", url, r.haveKey())
	case has("could not read username", "authentication failed", "terminal prompts disabled", "invalid credentials", "returned error: 403", "returned error: 401"):
		return failure("SourceAuth", "%s asks for credentials or does not exist%s", url, r.havePassword())
	case has("repository not found", "does not appear to be a git repository", "' not found", "returned error: 404", "does not exist"):
		return failure("SourceNotFound", "there is no git repository at %s, or it is private: check the address and build.srcRepo.credentials", url)
	case has("could not resolve host", "connection refused", "connection timed out", "failed to connect", "network is unreachable", "no route to host"):
		return failure("SourceUnreachable", "%s cannot be reached from this machine: %s", r.remote.host, lastLine(stderr))
	case has("ssl certificate", "certificate verify failed", "certificate verification failed"):
		return failure("SourceUnreachable", "the certificate of %s is not trusted by this machine: %s", r.remote.host, lastLine(stderr))
	}
	if text := lastLine(stderr); text != "" && (step == "ls-remote" || step == "fetch") {
		return failure("SourceUnreachable", "git cannot read %s: %s", url, text)
	}
	return fmt.Errorf("git %s: %w: %s", step, err, strings.TrimSpace(stderr))
}

func (r *repository) haveKey() string {
	if len(r.auth.SSHKey) == 0 {
		return ": no ssh key was given; name a secret of type kubernetes.io/ssh-auth in build.srcRepo.credentials"
	}
	return " of the secret in build.srcRepo.credentials"
}

func (r *repository) havePassword() string {
	if r.auth.Password == "" && r.auth.Token == "" {
		return ": no password or token was given; name a secret of type kubernetes.io/basic-auth in build.srcRepo.credentials"
	}
	return ", and refuses those of the secret in build.srcRepo.credentials"
}

// firstFatal is the line with which git's trouble began.
func firstFatal(s string) string {
	for line := range strings.Lines(s) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "fatal: "); ok {
			return text
		}
	}
	return lastLine(s)
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimPrefix(lines[len(lines)-1], "fatal: ")
}

// listed joins at most most names, sorted, after a heading.
func listed(heading, none string, names []string, most int) string {
	if len(names) == 0 {
		return none
	}
	slices.Sort(names)
	if len(names) > most {
		names = append(names[:most], "…")
	}
	return heading + strings.Join(names, ", ")
}
