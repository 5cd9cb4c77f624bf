//go:build linux && (amd64 || arm64)

package sandbox

import (
	"os"
	"strings"
)

// Check tells what this machine lacks, without changing it beyond an empty control group that it removes again.
func Check(o Options) []Problem {
	o = o.withDefaults()
	var ps []Problem
	if !kernelAtLeast(5, 12) {
		ps = append(ps, Problem{What: "the kernel is older than 5.12", Means: "no function can be started",
			Do: "use a newer kernel", Fatal: true})
	}
	rootless := !privileged()
	if rootless {
		ps = append(ps, checkRootless()...)
	} else if !kernelAtLeast(5, 19) {
		ps = append(ps, Problem{What: "the kernel is older than 5.19", Means: "files of an image appear to belong to nobody, and programs that must write to them fail",
			Do: "use a newer kernel"})
	}
	if o.Egress == EgressNAT {
		ps = append(ps, checkEgress(rootless)...)
	}
	self, _ := os.ReadFile("/proc/self/cgroup")
	parent := groupParent("check")
	c := findControllers(o.CgroupRoot, string(self), parent)
	for _, kind := range []string{kindMemory, kindCPU, kindPIDs} {
		if why := c.lacks(kind); why != "" {
			ps = append(ps, Problem{What: why, Means: "limits of " + kind + " cannot be enforced",
				Do: "run as root, or in a control group that was delegated with Delegate=yes, or accept it with --allow-unlimited", Limit: true})
		}
	}
	c.drop()
	return ps
}

func checkRootless() []Problem {
	var ps []Problem
	if n := readWord("/proc/sys/user/max_user_namespaces"); n == "0" {
		ps = append(ps, Problem{What: "user namespaces are switched off (user.max_user_namespaces is 0)", Means: "no function can be started without root",
			Do: "sysctl user.max_user_namespaces=10000, or run as root", Fatal: true})
	}
	if n := readWord("/proc/sys/kernel/unprivileged_userns_clone"); n == "0" {
		ps = append(ps, Problem{What: "user namespaces are forbidden to users (kernel.unprivileged_userns_clone is 0)", Means: "no function can be started without root",
			Do: "sysctl kernel.unprivileged_userns_clone=1, or run as root", Fatal: true})
	}
	if n := readWord("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"); n == "1" {
		ps = append(ps, Problem{What: "AppArmor restricts user namespaces of users", Means: "no function can be started without root",
			Do: "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or run as root", Fatal: true})
	}
	return ps
}

func checkEgress(rootless bool) []Problem {
	p := Problem{Means: "functions cannot reach other machines", Do: "run as root on a kernel with nftables, or set egress to none", Fatal: true}
	if rootless {
		p.What = "the platform is not root"
		return []Problem{p}
	}
	if err := newNftables("ofn_check").remove(); err != nil {
		p.What = "nftables does not work here: " + err.Error()
		return []Problem{p}
	}
	return nil
}

func readWord(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
