package doctor

import (
	"fmt"
	"go/version"
	"strings"
	"time"
)

func toolchain(f Facts) []Finding {
	const name = "Go"
	install := fmt.Sprintf("install Go %s or newer, from https://go.dev/dl or your system's package, and put it on PATH", f.GoNeeded)
	switch {
	case f.Go.Path == "":
		return one(name, Warn, install, "there is no go command: images that exist can be served, but no Go function can be built")
	case f.Go.Err != nil:
		return one(name, Fail, install, "%s does not work: %v", f.Go.Path, f.Go.Err)
	case !version.IsValid("go" + f.Go.Version):
		return one(name, Warn, "", "%s has the version %q, which may be too old", f.Go.Path, f.Go.Version)
	case version.Compare("go"+f.Go.Version, "go"+f.GoNeeded) < 0:
		return one(name, Fail, install, "%s is Go %s: functions are built with %s or newer", f.Go.Path, f.Go.Version, f.GoNeeded)
	}
	return one(name, OK, "", "%s at %s", f.Go.Version, f.Go.Path)
}

func git(f Facts) []Finding {
	switch {
	case f.Git.Path == "":
		return one("git", Warn, "install git", "there is no git command: functions cannot be built from repositories, only from directories")
	case f.Git.Err != nil:
		return one("git", Fail, "install git anew", "%s does not work: %v", f.Git.Path, f.Git.Err)
	}
	return one("git", OK, "", "%s at %s", f.Git.Version, f.Git.Path)
}

// scaling is whether triggers can be asked how much waits.
func scaling(f Facts) []Finding {
	switch {
	case f.Scalers != "":
		return one("scaling triggers", OK, "", "ofn-scalers at %s", f.Scalers)
	case f.Go.Path != "" && f.Go.Err == nil:
		return one("scaling triggers", OK, "", "ofn-scalers is built when a function with triggers first needs it, which takes some minutes")
	}
	return one("scaling triggers", Warn, "install Go, or put a built ofn-scalers beside ofn or on PATH",
		"there is neither ofn-scalers nor a Go to build it with: functions cannot be scaled by kafka, redis and other triggers, except cron, cpu and memory")
}

func proxy(f Facts) []Finding {
	var out []Finding
	for _, p := range f.Proxies {
		if p.Err == nil {
			out = append(out, one("modules", OK, "", "%s answers", p.URL)...)
			continue
		}
		out = append(out, one("modules", Warn, "check the network, HTTPS_PROXY, or set GOPROXY with `go env -w`; functions without foreign modules are built all the same",
			"%s does not answer: %v", p.URL, p.Err)...)
	}
	return out
}

const (
	// needBytes is what the platform, a toolchain's caches and a few functions take.
	needBytes  = 1 << 30
	scantBytes = 5 << 30
	needFiles  = 20_000
)

func dataDir(f Facts) []Finding {
	const name = "data directory"
	d := f.DataDir
	other := "make room, or choose another with `ofn up --data-dir`"
	switch {
	case d.Err != nil:
		return one(name, Fail, "make it writable for this user, or choose another with `ofn up --data-dir`", "%s cannot be written: %v", d.Path, d.Err)
	case d.FreeBytes < needBytes:
		return one(name, Fail, other, "%s has %s free, too little to build and keep images", d.Path, size(d.FreeBytes))
	case d.FilesSet && d.FreeFiles < needFiles:
		return one(name, Fail, other, "the file system of %s has room for %d more files, too few", d.Path, d.FreeFiles)
	case d.FreeBytes < scantBytes:
		return one(name, Warn, other, "%s has %s free, which caches and images will soon fill", d.Path, size(d.FreeBytes))
	}
	return one(name, OK, "", "%s, %s free", d.Path, size(d.FreeBytes))
}

func size(n uint64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }

func ports(f Facts) []Finding {
	var out []Finding
	for _, p := range f.Ports {
		what := fmt.Sprintf("%s (%s)", p.Address, p.For)
		switch {
		case p.Err == nil && f.RunningAs != 0:
			out = append(out, one("ports", OK, "", "%s is free: the ofn that runs uses another", what)...)
		case p.Err == nil:
			out = append(out, one("ports", OK, "", "%s is free", what)...)
		case f.RunningAs != 0:
			out = append(out, one("ports", OK, "", "%s is in use, as it should be: ofn runs as process %d", what, f.RunningAs)...)
		default:
			out = append(out, one("ports", Fail, "stop what uses it, or choose another with `ofn up "+p.Flag+"`; if it is an ofn with another data directory, give doctor its --data-dir", "%s cannot be used: %v", what, p.Err)...)
		}
	}
	return out
}

func api(f Facts) []Finding {
	switch a := f.API; {
	case a.URL == "" && a.Err == nil:
		return one("API", Warn, "start the platform with `ofn up`, or name another's with $KUBECONFIG", "no control plane is known")
	case a.URL == "":
		return one("API", Fail, "mend the kubeconfig, or name another with $KUBECONFIG", "%v", a.Err)
	case a.Err == nil:
		return one("API", OK, "", "%s answers (%s)", a.URL, a.Version)
	case f.RunningAs != 0:
		return one("API", Fail, "look at what `ofn up` printed, and at $KUBECONFIG", "ofn runs as process %d, but %s does not answer: %v", f.RunningAs, a.URL, a.Err)
	default:
		return one("API", Warn, "start the platform with `ofn up`", "%s does not answer: %v", a.URL, a.Err)
	}
}

// mostSkew is where certificates and tokens begin to be refused.
const mostSkew = 30 * time.Second

func clock(f Facts) []Finding {
	if len(f.Clocks) == 0 {
		return one("clock", OK, "", "nothing to compare it with")
	}
	for _, c := range f.Clocks {
		if c.Ahead.Abs() > mostSkew {
			way := "ahead of"
			if c.Ahead < 0 {
				way = "behind"
			}
			return one("clock", Warn, "synchronise it, for example with `timedatectl set-ntp true`: wrong times break certificates and tokens", "it is %v %s that of %s",
				c.Ahead.Abs().Round(time.Second), way, c.Of)
		}
	}
	return one("clock", OK, "", "it agrees with %s", f.Clocks[0].Of)
}

func names(f Facts) []Finding {
	l := f.Resolved
	switch {
	case l.Name == "":
		return nil
	case l.Err == nil && l.Loopback:
		return one("names", OK, "", "%s is this machine", l.Name)
	}
	why := "it does not resolve"
	if l.Err == nil {
		why = "it is another machine"
	}
	_, domain, _ := strings.Cut(l.Name, ".")
	return one("names", Warn, "nothing for browsers and curl, which know by themselves; for other programs use `ofn invoke`, send the name as Host to 127.0.0.1, or add it to /etc/hosts",
		"%s: %s, so that not every program finds functions below %s", l.Name, why, domain)
}
