package build

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"strings"
	"unicode"
)

// String tells of a login only whether it is one, so that none gets into a log or an error.
func (a Auth) String() string {
	if a.Username == "" && a.Password == "" && a.Token == "" && len(a.SSHKey) == 0 {
		return "anonymous"
	}
	return "[login]"
}

// GoString is String.
func (a Auth) GoString() string { return a.String() }

// Dependencies is how a build gets at private dependencies.
type Dependencies struct {
	// Logins are by password or token, the first that fits counting.
	Logins []HostLogin
	// Files are configuration files of package managers, named as IsDependencyFile says.
	Files map[string][]byte
}

// HostLogin is a login for one host.
type HostLogin struct {
	Host string // with the port, where it is not the usual one
	Auth Auth
}

// dependencyFiles says where in a home directory a package manager looks for its file.
var dependencyFiles = map[string]string{
	".netrc":            ".netrc", // go, git, pip, curl
	".npmrc":            ".npmrc",
	".yarnrc.yml":       ".yarnrc.yml",
	"pip.conf":          ".config/pip/pip.conf",
	"settings.xml":      ".m2/settings.xml",
	"gradle.properties": ".gradle/gradle.properties",
	"credentials.toml":  ".cargo/credentials.toml",
}

// IsDependencyFile tells whether a key of a secret is the name of a file for Dependencies.Files: .netrc, .npmrc, .yarnrc.yml, pip.conf,
// settings.xml (of Maven), gradle.properties and credentials.toml (of Cargo).
func IsDependencyFile(name string) bool { return dependencyFiles[name] != "" }

// Empty tells whether there is nothing to get at private dependencies with. Whatever a build that is not empty downloads must not come into
// a cache that other namespaces use.
func (d Dependencies) Empty() bool { return len(d.Logins) == 0 && len(d.Files) == 0 }

// String says how much there is of it and nothing more.
func (d Dependencies) String() string {
	return fmt.Sprintf("[%d logins, %d files]", len(d.Logins), len(d.Files))
}

// GoString is String.
func (d Dependencies) GoString() string { return d.String() }

// Home is what belongs into the home directory of the commands that download dependencies, by slash-separated path: the files, and a .netrc
// and a .npmrc made of the logins that Check lets pass, over which the user's own win. It must not outlive the build, nor come into its image or log.
func (d Dependencies) Home() map[string][]byte {
	home := map[string][]byte{}
	for name, data := range d.Files {
		if at := dependencyFiles[name]; at != "" {
			home[at] = data
		}
	}
	var netrc, npmrc strings.Builder
	for _, l := range d.Logins {
		if l.Check() != nil {
			continue
		}
		netrc.WriteString(l.netrc())
		npmrc.WriteString(l.npm())
	}
	maps.DeleteFunc(home, func(_ string, data []byte) bool { return len(data) == 0 })
	join(home, ".netrc", netrc.String(), false)
	join(home, ".npmrc", npmrc.String(), true)
	return home
}

// join adds made lines to a file that the user may have given. Of two lines the user's must count, wherever the reader wants that one to be.
func join(home map[string][]byte, name, made string, lastCounts bool) {
	if made == "" {
		return
	}
	own := string(home[name])
	if own != "" && !strings.HasSuffix(own, "\n") {
		own += "\n"
	}
	if lastCounts {
		own, made = made, own
	}
	home[name] = []byte(own + made)
}

func (l HostLogin) user() string {
	if l.Auth.Username == "" {
		return "oauth2" // what GitLab wants with a token; GitHub takes any name
	}
	return l.Auth.Username
}

func (l HostLogin) password() string {
	if l.Auth.Password == "" {
		return l.Auth.Token
	}
	return l.Auth.Password
}

// netrc is the login as go reads it, which wants the port with the host, and as everybody else does, who knows no ports.
func (l HostLogin) netrc() string {
	line := fmt.Sprintf("machine %s login %s password %s\n", l.Host, l.user(), l.password())
	if host, _, err := net.SplitHostPort(l.Host); err == nil {
		line += fmt.Sprintf("machine %s login %s password %s\n", host, l.user(), l.password())
	}
	return line
}

// npm is the login as npm reads it.
func (l HostLogin) npm() string {
	if l.Auth.Password == "" {
		return fmt.Sprintf("//%s/:_authToken=%s\n", l.Host, l.Auth.Token)
	}
	both := base64.StdEncoding.EncodeToString([]byte(l.user() + ":" + l.password()))
	return fmt.Sprintf("//%s/:_auth=%s\n", l.Host, both)
}

// Check refuses what a reader of these files would take for something else, with a *Failure.
func (l HostLogin) Check() error {
	bad := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == '"' || r == '\\' }
	for _, part := range []struct{ what, value string }{{"host", l.Host}, {"user name", l.user()}, {"password", l.password()}} {
		if part.value == "" || strings.ContainsFunc(part.value, bad) || strings.HasPrefix(part.value, "#") {
			return &Failure{Reason: "CredentialsInvalid", Message: fmt.Sprintf(
				"the login for %q cannot be given to package managers: its %s is empty or holds blanks, quotes or a backslash; use a token", l.Host, part.what)}
		}
	}
	return nil
}
