package python

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"os"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// settings are the variables of pip that a build may set. Others could name files of this machine, or programs.
var settings = []string{"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_PRE", "PIP_PREFER_BINARY", "PIP_ONLY_BINARY", "PIP_NO_BINARY",
	"PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES"}

func isSetting(k string) bool { return slices.Contains(settings, k) }

// checkEnv compares FUNC_RUNTIME_VERSION, such as "3.11", with the interpreter, and tells which variables do nothing.
func checkEnv(j *lang.Job, have interpreter) error {
	j.Env.Unknown(j.Log, isSetting, "PIP_", "UV_", "POETRY_")
	text := strings.TrimPrefix(j.Env.RuntimeVersion, "python")
	if text == "" {
		return nil
	}
	want, ok := parseVersion(text)
	switch {
	case !ok:
		return lang.InvalidEnv("FUNC_RUNTIME_VERSION is %q: it must be a version of Python such as 3.11", j.Env.RuntimeVersion)
	case have.Version.less(want) || want[0] != have.Version[0]:
		return lang.Failure("RuntimeUnsupported", "FUNC_RUNTIME_VERSION asks for Python %s; this machine has %s: install python%s, or ask for less", text, have.Full, want)
	case want.less(have.Version):
		fmt.Fprintf(j.Log, "FUNC_RUNTIME_VERSION %s: building with Python %s, which this machine has\n", text, have.Full)
	}
	return nil
}

// configFile is where the administrator of this machine says how pip reaches its index.
const configFile = "/etc/pip.conf"

// environment is what pip and the programs it starts see of the world, and what of this machine they read.
func (p *Python) environment(j *job, downloads string) (env, readOnly []string) {
	env = []string{
		"PATH=" + filepath.Dir(j.python.Program) + ":/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8", "PYTHONHASHSEED=0", "PYTHONDONTWRITEBYTECODE=1",
		"SOURCE_DATE_EPOCH=315532800", "PIP_CACHE_DIR=" + filepath.Join(downloads, "pip"), "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_NO_INPUT=1",
		"PIP_NO_COLOR=1", "PIP_ROOT_USER_ACTION=ignore", "PIP_PROGRESS_BAR=off", "UV_CACHE_DIR=" + filepath.Join(downloads, "uv"), "UV_NO_PROGRESS=1", "NO_COLOR=1",
		"UV_PYTHON_DOWNLOADS=never", "UV_PYTHON=" + j.python.Program,
	}
	readOnly = j.python.readOnly()
	if _, err := os.Stat(configFile); err == nil {
		readOnly = append(readOnly, configFile)
	}
	for _, file := range []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"} {
		if _, err := os.Stat(file); err == nil {
			env = append(env, "PIP_CERT="+file, "SSL_CERT_FILE="+file) // what this machine trusts
			break
		}
	}
	for _, k := range settings {
		if v := j.Env.Rest[k]; v != "" {
			env = append(env, k+"="+v)
		}
	}
	return env, readOnly
}
