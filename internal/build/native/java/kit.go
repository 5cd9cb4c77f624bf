package java

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// oldest is the first version of Java that the framework runs on.
const oldest = 17

// kit is a development kit of this machine.
type kit struct {
	home  string
	full  string // "17.0.15"
	major int
}

func (k kit) tool(name string) string { return filepath.Join(k.home, "bin", name) }

var releaseVersion = regexp.MustCompile(`(?m)^JAVA_VERSION="([^"]+)"`)

// kit finds the development kit. It reads the file by which every kit says what it is, as starting a compiler takes a second.
func (l *Java) kit(context.Context) (kit, error) {
	compiler := l.opts.Find("javac")
	if compiler == "" {
		return kit{}, missing()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if k, ok := l.known[compiler]; ok {
		return k, nil
	}
	real, err := filepath.EvalSymlinks(compiler)
	if err != nil {
		return kit{}, fmt.Errorf("looking for the development kit of Java: %w", err)
	}
	k := kit{home: filepath.Dir(filepath.Dir(real))}
	data, err := os.ReadFile(filepath.Join(k.home, "release"))
	if err != nil {
		return kit{}, fmt.Errorf("looking at the development kit of Java: %w", err)
	}
	m := releaseVersion.FindSubmatch(data)
	if m == nil {
		return kit{}, fmt.Errorf("%s does not name its version in the file release", k.home)
	}
	k.full = string(m[1])
	k.major, _ = strconv.Atoi(strings.SplitN(k.full, ".", 2)[0])
	if k.major < oldest {
		return kit{}, lang.Failure("ToolMissing", "building Java needs a development kit of version %d or later; this machine has %s: install openjdk-%d-jdk-headless", oldest, k.full, oldest)
	}
	for _, tool := range []string{"java", "jlink"} {
		if _, err := os.Stat(k.tool(tool)); err != nil {
			return kit{}, missing()
		}
	}
	l.known[compiler] = k
	return k, nil
}

func missing() error {
	return lang.ToolMissing("Java", "a development kit of version 17 or later (java, javac, jlink)", "openjdk-17-jdk-headless and maven of your system")
}

// checkEnv compares FUNC_RUNTIME_VERSION, such as "17", with the development kit, and tells which variables do nothing.
func checkEnv(j *lang.Job, k kit) error {
	j.Env.Unknown(j.Log, func(k string) bool { return k == nativeSetting }, "MAVEN_", "GRADLE_", "BP_JVM_", "BP_MAVEN_")
	text := strings.TrimPrefix(strings.TrimPrefix(j.Env.RuntimeVersion, "java"), "v")
	if text == "" {
		return nil
	}
	want, err := strconv.Atoi(strings.SplitN(strings.TrimPrefix(text, "1."), ".", 2)[0])
	switch {
	case err != nil:
		return lang.InvalidEnv("FUNC_RUNTIME_VERSION is %q: it must be a version of Java such as 17", j.Env.RuntimeVersion)
	case want > k.major:
		return lang.Failure("RuntimeUnsupported", "FUNC_RUNTIME_VERSION asks for Java %s; this machine has %s: install openjdk-%d-jdk-headless, or ask for less", text, k.full, want)
	case want < k.major:
		fmt.Fprintf(j.Log, "FUNC_RUNTIME_VERSION %s: building with Java %s, which this machine has\n", text, k.full)
	}
	return nil
}

// visible is what programs of Java read besides what all programs do.
func (k kit) visible() []string {
	var paths []string
	if !strings.HasPrefix(k.home, "/usr/") {
		paths = append(paths, k.home)
	}
	for _, pattern := range []string{"/etc/java*", "/etc/maven", "/etc/gradle"} {
		names, _ := filepath.Glob(pattern) // the pattern is valid
		for _, name := range names {
			if info, err := os.Stat(name); err == nil && info.IsDir() {
				paths = append(paths, name)
			}
		}
	}
	return paths
}
