package java

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// copyDependencies is the goal that lays dependencies into target/dependency.
const copyDependencies = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"

// maven packages a project of Maven.
func (l *Java) maven(ctx context.Context, j *job) error {
	program, err := l.mavenProgram(j)
	if err != nil {
		return err
	}
	downloads, err := l.downloads(j)
	if err != nil {
		return err
	}
	repository := filepath.Join(downloads, "m2")
	poms, err := l.preparePoms(j, repository)
	if err != nil {
		return err
	}
	args := append(program, "-B", "-ntp", "-Dstyle.color=never", "-Dmaven.repo.local="+repository, "-Dmaven.test.skip=true", "-DincludeScope=runtime", "-Dmdep.prependGroupId=true")
	args = append(args, defaults(poms, j.kit)...)
	args = append(args, "package")
	if j.Env.Command == "" { // which names files as the project itself lays them out
		args = append(args, copyDependencies)
	}
	env := []string{"MAVEN_OPTS=-Xshare:auto -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Djava.io.tmpdir=" + filepath.Join(j.Work, "tmp") + " " + j.userHome(), "MAVEN_SKIP_RC=1",
		"MAVEN_USER_HOME=" + filepath.Join(downloads, "wrapper")}
	code, said, err := l.run(ctx, j, step{args: args, env: env, writes: []string{downloads}, network: true, sees: l.programSees(program)})
	if err != nil {
		return err
	}
	if code != 0 {
		return explain("Maven", "pom.xml", mavenErrors(said), j.kit)
	}
	target := filepath.Join(j.dir, "target")
	j.made.classes = []string{filepath.Join(target, "classes")}
	if j.made.jars, err = jarsIn(j.Work, filepath.Join(target, "dependency")); err != nil {
		return err
	}
	j.made.server, err = wholeJar(j.Work, target)
	return err
}

// mavenProgram is the machine's Maven, else the one that the project brings, which downloads it.
func (l *Java) mavenProgram(j *job) ([]string, error) {
	if program := l.opts.Find("mvn"); program != "" {
		return []string{program}, nil
	}
	if wrapper := filepath.Join(j.dir, "mvnw"); exists(wrapper) {
		return []string{"/bin/sh", wrapper}, nil
	}
	return nil, lang.ToolMissing("a project with pom.xml", "Maven", "the package maven of your system, or commit the Maven wrapper, mvnw")
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// programSees is where a program of the machine lives when that is not below /usr.
func (l *Java) programSees(args []string) []string {
	real, err := filepath.EvalSymlinks(args[0])
	if err != nil || strings.HasPrefix(real, "/usr/") || strings.HasPrefix(real, "/bin/") {
		return nil
	}
	return []string{filepath.Dir(filepath.Dir(real))}
}

var (
	says    = regexp.MustCompile(`maven\.compiler\.source|<source>|java\.version|<parent>`)
	release = regexp.MustCompile(`<(?:maven\.compiler\.)?release>\s*(\d+)\s*<`)
)

// defaults are settings for projects that do not say them: those of the tool are from a time of other compilers.
func defaults(poms []byte, k kit) []string {
	var args []string
	if !says.Match(poms) {
		version := strconv.Itoa(k.major)
		if m := release.FindSubmatch(poms); m != nil { // which the compiler plugins of old do not know
			version = string(m[1])
		}
		args = append(args, "-Dmaven.compiler.source="+version, "-Dmaven.compiler.target="+version)
	}
	if !bytes.Contains(poms, []byte("project.build.sourceEncoding")) && !bytes.Contains(poms, []byte("<parent>")) {
		args = append(args, "-Dproject.build.sourceEncoding=UTF-8")
	}
	return args
}

var (
	apiVersion = regexp.MustCompile(`<artifactId>functions-framework-api</artifactId>\s*<version>\s*([^<\s]+)\s*</version>`)
	property   = regexp.MustCompile(`^\$\{([^}]+)\}$`)
	apiEnd     = regexp.MustCompile(`(?s)<artifactId>functions-framework-api</artifactId>.*?</dependency>`)
	importDapr = regexp.MustCompile(`(?m)^\s*import\s+io\.dapr\.`)
)

// published are versions of the interfaces that functions may ask for, besides those that their files name.
var published = []string{"1.0.0", "1.1.0", "1.2.0"}

// preparePoms puts the framework into the repository under the versions that the project asks for, and returns the text of its poms. The framework
// does not bring Dapr's client, as the published interfaces do, with thirty megabytes behind it: a source that imports it without naming it gets it.
func (l *Java) preparePoms(j *job, repository string) ([]byte, error) {
	var all []byte
	var names []string
	dapr := false
	err := filepath.WalkDir(filepath.Join(j.Work, "project"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		switch {
		case d.Name() == "pom.xml":
			data, err := os.ReadFile(p)
			all, names = append(all, data...), append(names, p)
			return err
		case strings.HasSuffix(p, ".java") && !dapr:
			data, err := os.ReadFile(p)
			dapr = importDapr.Match(data)
			return err
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the project: %w", err)
	}
	if dapr && !bytes.Contains(all, []byte("<artifactId>dapr-sdk</artifactId>")) {
		if err := addDapr(names); err != nil {
			return nil, err
		}
	}
	versions := slices.Clone(published)
	for _, m := range apiVersion.FindAllSubmatch(all, -1) {
		v := string(m[1])
		if p := property.FindStringSubmatch(v); p != nil {
			value := regexp.MustCompile(`<` + regexp.QuoteMeta(p[1]) + `>\s*([^<\s]+)\s*<`).FindSubmatch(all)
			if value == nil {
				continue
			}
			v = string(value[1])
		}
		versions = append(versions, v)
	}
	return all, l.publish(j, repository, versions)
}

// addDapr names Dapr's client beside the framework in the copies of poms.
func addDapr(poms []string) error {
	for _, name := range poms {
		data, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("reading the project: %w", err)
		}
		data = apiEnd.ReplaceAllFunc(data, func(b []byte) []byte {
			return append(slices.Clone(b), "<dependency><groupId>io.dapr</groupId><artifactId>dapr-sdk</artifactId><version>1.8.0</version></dependency>"...)
		})
		if err := os.WriteFile(name, data, 0o644); err != nil {
			return fmt.Errorf("changing the project: %w", err)
		}
	}
	return nil
}

var plainVersion = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// eventsVersion is that of io.cloudevents:cloudevents-api, which functions may expect behind the framework.
const eventsVersion = "2.5.0"

// publish installs the framework into a repository of Maven.
func (l *Java) publish(j *job, repository string, versions []string) error {
	jar, err := os.ReadFile(filepath.Join(j.frame, frameworkJar))
	if err != nil {
		return fmt.Errorf("reading the framework: %w", err)
	}
	n := l.opts.Names
	slices.Sort(versions)
	for _, v := range slices.Compact(versions) {
		if !plainVersion.MatchString(v) {
			continue // a range: one of the published ones is in it
		}
		dir := filepath.Join(repository, filepath.FromSlash(strings.ReplaceAll(n.Group, ".", "/")), n.Artifact, v)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("preparing the repository: %w", err)
		}
		pom := fmt.Sprintf(`<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version>`+
			`<dependencies><dependency><groupId>io.cloudevents</groupId><artifactId>cloudevents-api</artifactId><version>%s</version></dependency></dependencies></project>`,
			n.Group, n.Artifact, v, eventsVersion)
		for name, data := range map[string][]byte{n.Artifact + "-" + v + ".jar": jar, n.Artifact + "-" + v + ".pom": []byte(pom)} {
			if err := lang.WriteFile(filepath.Join(dir, name), data); err != nil {
				return fmt.Errorf("putting the framework into the repository: %w", err)
			}
		}
	}
	return nil
}

var (
	mavenNoise = regexp.MustCompile(`^(\[ERROR\] ?(-> \[Help|\[Help|To see the full stack|Re-run Maven|For more information|After correcting|\s*mvn <args>)|\[ERROR\]\s*$)`)
	mavenPlace = regexp.MustCompile(`^(\S+\.(?:java|kt)):\[(\d+),(\d+)\] `)
)

// mavenErrors are the lines that say what is wrong, with places as every other tool writes them.
func mavenErrors(said string) string {
	var out []string
	seen := map[string]bool{}
	within := false
	for line := range strings.SplitSeq(said, "\n") {
		text, is := strings.CutPrefix(line, "[ERROR] ")
		if !is {
			if strings.HasPrefix(line, "[") || strings.TrimSpace(line) == "" {
				within = false
			}
			if within {
				out = append(out, line)
			}
			continue
		}
		within = !mavenNoise.MatchString(line)
		text = strings.TrimSuffix(mavenPlace.ReplaceAllString(text, "$1:$2:$3: "), " -> [Help 1]")
		if within && !seen[text] {
			out = append(out, text)
		}
		within = within && !seen[text]
		seen[text] = true
	}
	if len(out) == 0 {
		return said
	}
	return strings.Join(out, "\n")
}
