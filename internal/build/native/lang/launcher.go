package lang

import (
	"context"
	"io"
)

// Launcher decides how what a language made is started: by a command of the user's, and behind the contract of another platform.
type Launcher interface {
	// Plan completes Command, Contract and Runtime by what the source says, before its language is chosen.
	Plan(t *Tree, e Env, log io.Writer) (Env, error)
	// Identity is what of this machine takes part in a launch, as for a Language; empty when nothing does.
	Identity(ctx context.Context, e Env) (string, error)
	// Launch changes the program so that it is started as the environment of the job says. What the user must change is a *build.Failure.
	Launch(ctx context.Context, j *Job, p Program) (Program, error)
}

// none starts programs as their language says.
type none struct{}

// NoLauncher leaves everything to the languages.
func NoLauncher() Launcher { return none{} }

// Plan implements Launcher.
func (none) Plan(_ *Tree, e Env, _ io.Writer) (Env, error) { return e, nil }

// Identity implements Launcher.
func (none) Identity(context.Context, Env) (string, error) { return "", nil }

// Launch implements Launcher.
func (none) Launch(_ context.Context, _ *Job, p Program) (Program, error) { return p, nil }
