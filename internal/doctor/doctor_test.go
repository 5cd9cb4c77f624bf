package doctor_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/doctor"
)

var errAny = errors.New("refused for a test")

// healthy is a machine on which nothing is wrong.
func healthy() doctor.Facts {
	return doctor.Facts{
		OS: "linux", Arch: "amd64", Kernel: "6.1.0", Root: true,
		Namespaces: []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"}, MaxUserNamespaces: 1000,
		GroupVersion: 2, Overlay: doctor.Yes, SeccompActions: []string{"errno", "allow"},
		Go: doctor.Program{Path: "/bin/go", Version: "1.26.1"}, GoNeeded: "1.24", Git: doctor.Program{Path: "/bin/git", Version: "2.39.5"},
		Languages: []doctor.Language{{Name: "Node.js", Install: "nodejs npm", Tools: []doctor.Tool{
			{Name: "node", Needed: "20", Program: doctor.Program{Path: "/bin/node", Version: "20.20.2"}},
			{Name: "npm", Program: doctor.Program{Path: "/bin/npm", Version: "11.19.1"}},
		}}},
		Proxies:  []doctor.Remote{{URL: "https://proxy.example"}},
		Resolved: doctor.Lookup{Name: "hello.default.localhost", Loopback: true},
		DataDir:  doctor.Directory{Path: "/data", FreeBytes: 100 << 30, FreeFiles: 1 << 20, FilesSet: true},
		Ports:    []doctor.Port{{For: "functions", Address: "127.0.0.1:8080", Flag: "--gateway-address"}},
		API:      doctor.API{URL: "https://127.0.0.1:7443", Version: "v1.36"},
		Clocks:   []doctor.Clock{{Of: "proxy.example", Ahead: time.Second}},
	}
}

func TestHealthy(t *testing.T) {
	r := doctor.Examine(healthy())
	if r.Worst() != doctor.OK || len(r) < 14 {
		t.Errorf("got %+v", r)
	}
	for _, f := range r {
		if f.Level != doctor.OK || f.Do != "" || f.Says == "" {
			t.Errorf("got %+v", f)
		}
	}
	var b strings.Builder
	r.Print(&b)
	if n := strings.Count(b.String(), "\n"); n != len(r)+1 || !strings.HasSuffix(b.String(), "everything is in order\n") {
		t.Errorf("printed:\n%s", b.String())
	}
}

func TestFindings(t *testing.T) {
	for name, c := range map[string]struct {
		change func(f *doctor.Facts)
		check  string
		level  doctor.Level
		says   string
	}{
		"fatal problem": {func(f *doctor.Facts) { f.Problems = []doctor.Problem{{What: "a", Means: "b", Do: "c", Fatal: true}} }, "sandbox", doctor.Fail, "a: b"},
		"problem":       {func(f *doctor.Facts) { f.Problems = []doctor.Problem{{What: "a", Means: "b", Do: "c"}} }, "sandbox", doctor.Warn, "a: b"},
		"no user namespaces in the kernel": {func(f *doctor.Facts) { f.Namespaces = []string{"mnt", "pid", "net", "ipc", "uts"} },
			"namespaces", doctor.Fail, "kind user"},
		"user namespaces off":     {func(f *doctor.Facts) { f.MaxUserNamespaces = 0 }, "user namespaces", doctor.Fail, "switched off"},
		"user namespaces unknown": {func(f *doctor.Facts) { f.MaxUserNamespaces = -1 }, "user namespaces", doctor.Warn, "cannot be read"},
		"cgroup not delegated": {func(f *doctor.Facts) { f.Problems = []doctor.Problem{{What: "a", Means: "b", Do: "c", Limit: true}} },
			"cgroups", doctor.Fail, "a: b"},
		"overlay not loaded":   {func(f *doctor.Facts) { f.Overlay = doctor.No }, "overlay", doctor.Warn, "no overlay"},
		"overlay unknown":      {func(f *doctor.Facts) { f.Overlay = doctor.Unknown }, "overlay", doctor.Warn, "cannot be read"},
		"no seccomp":           {func(f *doctor.Facts) { f.SeccompActions = nil }, "seccomp", doctor.Fail, "filters no system calls"},
		"old seccomp":          {func(f *doctor.Facts) { f.SeccompActions = []string{"kill"} }, "seccomp", doctor.Fail, "only kill"},
		"no Go":                {func(f *doctor.Facts) { f.Go = doctor.Program{} }, "Go", doctor.Warn, "no go command"},
		"broken Go":            {func(f *doctor.Facts) { f.Go.Err = errAny }, "Go", doctor.Fail, "refused for a test"},
		"old Go":               {func(f *doctor.Facts) { f.Go.Version = "1.23.9" }, "Go", doctor.Fail, "1.24 or newer"},
		"odd Go":               {func(f *doctor.Facts) { f.Go.Version = "tip" }, "Go", doctor.Warn, "tip"},
		"no Node":              {func(f *doctor.Facts) { f.Languages[0].Tools[0].Path = "" }, "Node.js", doctor.OK, "not there"},
		"no npm":               {func(f *doctor.Facts) { f.Languages[0].Tools[1].Path = "" }, "Node.js", doctor.Warn, "no npm"},
		"old Node":             {func(f *doctor.Facts) { f.Languages[0].Tools[0].Version = "18.9.0" }, "Node.js", doctor.Warn, "20 or newer"},
		"broken Node":          {func(f *doctor.Facts) { f.Languages[0].Tools[0].Err = errAny }, "Node.js", doctor.Warn, "refused for a test"},
		"odd Node":             {func(f *doctor.Facts) { f.Languages[0].Tools[0].Version = "nightly" }, "Node.js", doctor.OK, "nightly"},
		"no git":               {func(f *doctor.Facts) { f.Git = doctor.Program{} }, "git", doctor.Warn, "no git command"},
		"scalers":              {func(f *doctor.Facts) { f.Scalers = "/bin/ofn-scalers" }, "scaling triggers", doctor.OK, "/bin/ofn-scalers"},
		"broken git":           {func(f *doctor.Facts) { f.Git.Err = errAny }, "git", doctor.Fail, "refused for a test"},
		"no proxy":             {func(f *doctor.Facts) { f.Proxies[0].Err = errAny }, "modules", doctor.Warn, "proxy.example does not answer"},
		"data not writable":    {func(f *doctor.Facts) { f.DataDir.Err = errAny }, "data directory", doctor.Fail, "cannot be written"},
		"disk full":            {func(f *doctor.Facts) { f.DataDir.FreeBytes = 1 << 20 }, "data directory", doctor.Fail, "0.0 GiB"},
		"disk nearly full":     {func(f *doctor.Facts) { f.DataDir.FreeBytes = 2 << 30 }, "data directory", doctor.Warn, "2.0 GiB"},
		"no inodes":            {func(f *doctor.Facts) { f.DataDir.FreeFiles = 3 }, "data directory", doctor.Fail, "3 more files"},
		"inodes unknown":       {func(f *doctor.Facts) { f.DataDir.FreeFiles, f.DataDir.FilesSet = 0, false }, "data directory", doctor.OK, "/data"},
		"port taken":           {func(f *doctor.Facts) { f.Ports[0].Err = errAny }, "ports", doctor.Fail, "8080"},
		"port taken by ofn":    {func(f *doctor.Facts) { f.Ports[0].Err, f.RunningAs = errAny, 7 }, "ports", doctor.OK, "process 7"},
		"port free beside ofn": {func(f *doctor.Facts) { f.RunningAs = 7 }, "ports", doctor.OK, "uses another"},
		"no API known":         {func(f *doctor.Facts) { f.API = doctor.API{} }, "API", doctor.Warn, "no control plane"},
		"bad kubeconfig":       {func(f *doctor.Facts) { f.API = doctor.API{Err: errAny} }, "API", doctor.Fail, "refused for a test"},
		"API down":             {func(f *doctor.Facts) { f.API.Err = errAny }, "API", doctor.Warn, "does not answer"},
		"API down under ofn":   {func(f *doctor.Facts) { f.API.Err, f.RunningAs = errAny, 7 }, "API", doctor.Fail, "process 7"},
		"clock ahead":          {func(f *doctor.Facts) { f.Clocks[0].Ahead = time.Hour }, "clock", doctor.Warn, "1h0m0s ahead of"},
		"clock behind":         {func(f *doctor.Facts) { f.Clocks[0].Ahead = -time.Minute }, "clock", doctor.Warn, "1m0s behind"},
		"no clock to compare":  {func(f *doctor.Facts) { f.Clocks = nil }, "clock", doctor.OK, "nothing to compare"},
		"name unknown":         {func(f *doctor.Facts) { f.Resolved.Err = errAny }, "names", doctor.Warn, "does not resolve"},
		"name elsewhere":       {func(f *doctor.Facts) { f.Resolved.Loopback = false }, "names", doctor.Warn, "another machine"},
		"another system":       {func(f *doctor.Facts) { f.OS = "darwin" }, "system", doctor.Warn, "needs Linux"},
	} {
		t.Run(name, func(t *testing.T) {
			f := healthy()
			c.change(&f)
			r := doctor.Examine(f)
			if r.Worst() != c.level {
				t.Errorf("worst is %s, want %s", r.Worst(), c.level)
			}
			for _, got := range r {
				if got.Check != c.check {
					if got.Level != doctor.OK {
						t.Errorf("also found %+v", got)
					}
					continue
				}
				if got.Level != c.level || !strings.Contains(got.Says, c.says) || got.Level == doctor.Fail && got.Do == "" {
					t.Errorf("got %+v, want %s: …%s…", got, c.level, c.says)
				}
				return
			}
			t.Errorf("no finding of %s", c.check)
		})
	}
}

// Another system is asked nothing that only Linux has.
func TestElsewhere(t *testing.T) {
	f := healthy()
	f.OS, f.Namespaces, f.SeccompActions, f.MaxUserNamespaces = "darwin", nil, nil, 0
	f.Problems = []doctor.Problem{{What: "the sandbox needs Linux", Fatal: true}}
	if r := doctor.Examine(f); r.Worst() != doctor.Warn {
		t.Errorf("got %+v", r)
	}
}

func TestPrint(t *testing.T) {
	var b strings.Builder
	doctor.Report{
		{Check: "a", Level: doctor.OK, Says: "fine"},
		{Check: "longer", Level: doctor.Warn, Says: "so so", Do: "something"},
		{Check: "b", Level: doctor.Fail, Says: "bad", Do: "something else"},
	}.Print(&b)
	const want = "ok    a       fine\nwarn  longer  so so\n              -> something\nfail  b       bad\n              -> something else\n1 failed, 1 to be aware of\n"
	if b.String() != want {
		t.Errorf("printed:\n%s", b.String())
	}
}

// TestNoGo: what else is lacking without Go.
func TestNoGo(t *testing.T) {
	f := healthy()
	f.Go = doctor.Program{}
	for _, got := range doctor.Examine(f) {
		if got.Check == "scaling triggers" {
			if got.Level != doctor.Warn || got.Do == "" || !strings.Contains(got.Says, "neither ofn-scalers nor a Go") {
				t.Errorf("got %+v", got)
			}
			return
		}
	}
	t.Error("nothing is said of scaling triggers")
}
