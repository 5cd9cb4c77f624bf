package source

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeKey puts the ssh credentials where ssh reads them, for the time of the conversation.
func (r *repository) writeKey() error {
	if r.remote.scheme != "ssh" {
		return nil
	}
	if locked(r.auth.SSHKey) { // of which ssh, that may ask nobody, would only say that the server refused it
		return failure("SourceAuth", "the ssh key of the secret in build.srcRepo.credentials has a passphrase: give a key without one")
	}
	for name, data := range map[string][]byte{"key": r.auth.SSHKey, "known_hosts": r.auth.KnownHosts} {
		if len(data) == 0 {
			continue
		}
		if data[len(data)-1] != '\n' { // ssh rejects a key without it
			data = append(append([]byte{}, data...), '\n')
		}
		if err := os.WriteFile(filepath.Join(r.state, name), data, 0o600); err != nil {
			return fmt.Errorf("preparing ssh credentials: %w", err)
		}
	}
	return nil
}

// locked tells whether a private key file can be read only with its passphrase.
func locked(file []byte) bool {
	block, _ := pem.Decode(file)
	if block == nil {
		return false
	}
	if strings.Contains(block.Type, "ENCRYPTED") || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return true
	}
	const magic = "openssh-key-v1\x00" // and the name of the cipher after its length, see PROTOCOL.key of OpenSSH
	rest, ok := bytes.CutPrefix(block.Bytes, []byte(magic))
	return ok && !bytes.HasPrefix(rest, []byte("\x00\x00\x00\x04none"))
}

// credentials returns git options and environment that answer with the secret, only to the remote's own host.
func (r *repository) credentials() (options, env []string) {
	user, password := r.auth.Username, r.auth.Password
	if password == "" {
		password = r.auth.Token
	}
	if password == "" || (r.remote.scheme != "https" && r.remote.scheme != "http") {
		return nil, nil
	}
	if user == "" {
		user = "oauth2" // what GitLab wants with a token; GitHub takes any name
	}
	const answer = `!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$OFN_GIT_USERNAME" "$OFN_GIT_PASSWORD"; }; f`
	key := "credential." + r.remote.scheme + "://" + r.remote.host + ".helper="
	return []string{"-c", key + answer}, []string{"OFN_GIT_USERNAME=" + user, "OFN_GIT_PASSWORD=" + password}
}

func (r *repository) sshCommand() string {
	if r.opts.SSH == "" {
		return "false"
	}
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	known, strict := filepath.Join(r.state, "known_hosts"), "accept-new"
	if len(r.auth.KnownHosts) > 0 {
		strict = "yes"
	}
	cmd := quote(r.opts.SSH) + " -F /dev/null -o BatchMode=yes -o ConnectTimeout=20 -o IdentitiesOnly=yes -o IdentityAgent=none" +
		" -o StrictHostKeyChecking=" + strict + " -o UserKnownHostsFile=" + quote(known)
	if len(r.auth.SSHKey) > 0 {
		cmd += " -i " + quote(filepath.Join(r.state, "key"))
	}
	return cmd
}
