package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// known are the variables that this language reads besides those that all know.
func known(k string) bool { return strings.HasPrefix(strings.ToUpper(k), "NPM_CONFIG_") }

// checkEnv compares FUNC_RUNTIME_VERSION, such as "20" or "18.12", with the interpreter, and tells which variables do nothing.
func checkEnv(j *lang.Job, have *semver.Version) error {
	j.Env.Unknown(j.Log, known, "NODE_", "NPM_")
	want := strings.TrimPrefix(strings.TrimPrefix(j.Env.RuntimeVersion, "v"), "node")
	if want == "" {
		return nil
	}
	v, err := semver.NewVersion(want)
	if err != nil {
		return lang.InvalidEnv("FUNC_RUNTIME_VERSION is %q: it must be a version of Node.js such as 20", j.Env.RuntimeVersion)
	}
	switch {
	case v.Major() > have.Major():
		return lang.Failure("RuntimeUnsupported", "FUNC_RUNTIME_VERSION asks for Node.js %s; this machine has %s: update its Node.js, or ask for less", want, have)
	case v.Major() < have.Major():
		fmt.Fprintf(j.Log, "FUNC_RUNTIME_VERSION %s: building with Node.js %s, which this machine has\n", want, have)
	}
	return nil
}

// environment is what package managers and scripts see of the world.
func (n *Node) environment(j *job, downloads string) []string {
	env := []string{
		"PATH=" + filepath.Join(j.dir, "node_modules/.bin") + ":" + filepath.Dir(n.opts.Find("node")) + ":/usr/local/bin:/usr/bin:/bin",
		"LC_ALL=C.UTF-8", "CI=true", "NO_COLOR=1", "npm_config_color=false",
		"npm_config_update_notifier=false", "npm_config_fund=false", "npm_config_audit=false", "npm_config_progress=false",
		"npm_config_cache=" + filepath.Join(downloads, "npm"), "npm_config_logs_max=0",
		"YARN_CACHE_FOLDER=" + filepath.Join(downloads, "yarn"), "YARN_ENABLE_GLOBAL_CACHE=false", "YARN_NODE_LINKER=node-modules",
		"YARN_ENABLE_TELEMETRY=0", "YARN_ENABLE_IMMUTABLE_INSTALLS=true",
		"COREPACK_HOME=" + filepath.Join(downloads, "corepack"), "COREPACK_ENABLE_DOWNLOAD_PROMPT=0",
		"NEXT_TELEMETRY_DISABLED=1",
	}
	if j.plan.manager == pnpm {
		env = append(env, "npm_config_store_dir="+filepath.Join(downloads, "pnpm"))
	}
	prefix := filepath.Dir(filepath.Dir(j.runtime.program))
	if _, err := os.Stat(filepath.Join(prefix, "include/node/node.h")); err == nil {
		env = append(env, "npm_config_nodedir="+prefix) // native extensions are compiled against the headers of this interpreter
	}
	for _, file := range []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"} {
		if _, err := os.Stat(file); err == nil {
			env = append(env, "NODE_EXTRA_CA_CERTS="+file) // what this machine trusts
			break
		}
	}
	for k, v := range j.Env.Rest {
		if known(k) {
			env = append(env, k+"="+v)
		}
	}
	return env
}

// visible are directories outside of /usr that hold programs of the machine, for the sandbox to show.
func visible(programs ...string) []string {
	var dirs []string
	for _, p := range programs {
		real, err := filepath.EvalSymlinks(p)
		if p == "" || err != nil {
			continue
		}
		for _, at := range []string{p, real} {
			prefix := filepath.Dir(filepath.Dir(at))
			if prefix != "/usr" && prefix != "/" && !strings.HasPrefix(prefix, "/usr/") {
				dirs = append(dirs, prefix)
			}
		}
	}
	return dirs
}
