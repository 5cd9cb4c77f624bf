package java

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// gradleScript has a project find the framework in a repository of its own, and lays what it runs with beside its classes. It keeps to what both
// the Gradle of distributions and the newest one understand.
const gradleScript = `allprojects {
  repositories { mavenLocal() }
  afterEvaluate { p ->
    def made = p.layout.buildDirectory.get().asFile
    if (p.plugins.hasPlugin('application')) {
      p.tasks.getByName('assemble').dependsOn 'installDist'
    }
    if (p.plugins.hasPlugin('java')) {
      p.tasks.create('ofnDependencies', Copy) {
        from p.configurations.runtimeClasspath
        into new File(made, 'ofn/dependency')
      }
      p.tasks.create('ofnClasses', Copy) {
        dependsOn 'classes'
        from p.sourceSets.main.output
        into new File(made, 'ofn/classes')
      }
    }
  }
}
`

// gradle assembles a project of Gradle.
func (l *Java) gradle(ctx context.Context, j *job) error {
	downloads, err := l.downloads(j)
	if err != nil {
		return err
	}
	repository := filepath.Join(downloads, "m2")
	if err := l.publish(j, repository, published); err != nil {
		return err
	}
	args := []string{l.opts.Find("gradle")}
	if args[0] == "" {
		wrapper := filepath.Join(j.dir, "gradlew")
		if !exists(wrapper) || !exists(filepath.Join(j.dir, "gradle/wrapper/gradle-wrapper.jar")) {
			return lang.ToolMissing("a project with build.gradle", "Gradle", "gradle, version 7.3 or later, or commit the Gradle wrapper: gradlew with the directory gradle/wrapper")
		}
		args = []string{"/bin/sh", wrapper}
	}
	home, err := j.gradleHome(filepath.Join(downloads, "gradle"))
	if err != nil {
		return err
	}
	script := filepath.Join(j.Work, "ofn.gradle")
	if err := os.WriteFile(script, []byte(gradleScript), 0o644); err != nil {
		return fmt.Errorf("preparing the build: %w", err)
	}
	sees := l.programSees(args)
	args = append(args, "--no-daemon", "--console=plain", "--init-script", script, "-Dmaven.repo.local="+repository, "assemble")
	if j.Env.Command == "" { // which names files as the project itself lays them out
		args = append(args, "ofnClasses", "ofnDependencies")
	}
	env := []string{"GRADLE_USER_HOME=" + home, "GRADLE_OPTS=-Xmx512m -Dorg.gradle.vfs.watch=false " + j.userHome()}
	code, said, err := l.run(ctx, j, step{args: args, env: env, writes: []string{downloads}, network: true, sees: sees})
	if err != nil {
		return err
	}
	if code != 0 {
		return explain("Gradle", "build.gradle", said, j.kit)
	}
	made := filepath.Join(j.dir, "build")
	j.made.classes = []string{filepath.Join(made, "ofn/classes")}
	if j.made.jars, err = jarsIn(j.Work, filepath.Join(made, "ofn/dependency")); err != nil {
		return err
	}
	j.made.server, err = wholeJar(j.Work, filepath.Join(made, "libs"))
	return err
}

// gradleHome is the home of Gradle in the work directory, where a secret's gradle.properties is put, with what it downloads kept for the namespace.
func (j *job) gradleHome(kept string) (string, error) {
	home := filepath.Join(j.Work, "home/.gradle")
	if err := os.MkdirAll(home, 0o750); err != nil {
		return "", fmt.Errorf("preparing the home of Gradle: %w", err)
	}
	for _, dir := range []string{"caches", "wrapper"} {
		if err := os.MkdirAll(filepath.Join(kept, dir), 0o750); err != nil {
			return "", fmt.Errorf("preparing the home of Gradle: %w", err)
		}
		if err := os.Symlink(filepath.Join(kept, dir), filepath.Join(home, dir)); err != nil {
			return "", fmt.Errorf("preparing the home of Gradle: %w", err)
		}
	}
	return home, nil
}
