package doctor

import (
	"slices"
	"strings"
)

const (
	linux     = "linux"
	elsewhere = "nothing for `ofn dev` and for commands on another machine's API; run `ofn up` on Linux, in a virtual machine for example"
)

func system(f Facts) []Finding {
	as := "an ordinary user"
	if f.Root {
		as = "root"
	}
	if f.OS != linux {
		return one("system", Warn, elsewhere, "%s/%s: the platform itself needs Linux", f.OS, f.Arch)
	}
	return one("system", OK, "", "Linux %s on %s, as %s", f.Kernel, f.Arch, as)
}

// sandboxed gives what the sandbox itself complains about.
func sandboxed(f Facts) []Finding {
	if f.OS != linux {
		return nil
	}
	var out []Finding
	for _, p := range f.Problems {
		if p.Limit {
			continue // see groups
		}
		level := Warn
		if p.Fatal {
			level = Fail
		}
		out = append(out, Finding{Check: "sandbox", Level: level, Says: p.What + ": " + p.Means, Do: p.Do})
	}
	if len(out) == 0 {
		return one("sandbox", OK, "", "functions can be isolated")
	}
	return out
}

func namespaces(f Facts) []Finding {
	if f.OS != linux {
		return nil
	}
	var missing []string
	for _, kind := range []string{"user", "mnt", "pid", "net", "ipc", "uts"} {
		if !slices.Contains(f.Namespaces, kind) {
			missing = append(missing, kind)
		}
	}
	if len(missing) > 0 {
		return one("namespaces", Fail, "use a kernel that has them, and mount /proc", "the kernel shows no namespaces of kind %s", strings.Join(missing, ", "))
	}
	return one("namespaces", OK, "", "user, mount, pid, network, ipc and uts")
}

func userNamespaces(f Facts) []Finding {
	switch {
	case f.OS != linux:
		return nil
	case f.MaxUserNamespaces == 0 && !f.Root:
		return nil // the sandbox complains
	case f.MaxUserNamespaces == 0:
		return one("user namespaces", Fail, "sysctl user.max_user_namespaces=10000", "they are switched off (user.max_user_namespaces is 0)")
	case f.MaxUserNamespaces < 0:
		return one("user namespaces", Warn, "", "their limit cannot be read")
	}
	return one("user namespaces", OK, "", "up to %d", f.MaxUserNamespaces)
}

func groups(f Facts) []Finding {
	if f.OS != linux {
		return nil
	}
	var out []Finding
	for _, p := range f.Problems {
		if p.Limit {
			out = append(out, Finding{Check: "cgroups", Level: Fail, Says: p.What + ": " + p.Means, Do: p.Do})
		}
	}
	if len(out) > 0 {
		return out
	}
	return one("cgroups", OK, "", "version %d; memory, cpu and pids can be limited", f.GroupVersion)
}

func overlay(f Facts) []Finding {
	switch {
	case f.OS != linux:
		return nil
	case f.Overlay == Yes:
		return one("overlay", OK, "", "the kernel has overlay file systems")
	case f.Overlay == No:
		return one("overlay", Warn, "modprobe overlay; most kernels load it by themselves", "the kernel has no overlay file systems loaded")
	}
	return one("overlay", Warn, "", "the kernel's file systems cannot be read")
}

func seccomp(f Facts) []Finding {
	switch {
	case f.OS != linux:
		return nil
	case len(f.SeccompActions) == 0:
		return one("seccomp", Fail, "use a kernel with CONFIG_SECCOMP_FILTER", "the kernel filters no system calls")
	case !slices.Contains(f.SeccompActions, "errno"):
		return one("seccomp", Fail, "use a kernel of 4.14 or newer", "the kernel's filters know only %s", strings.Join(f.SeccompActions, " "))
	}
	return one("seccomp", OK, "", "the kernel filters system calls")
}
