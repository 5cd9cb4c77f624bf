package engines

// Tekton is Tekton Pipelines.
func Tekton() Engine {
	return Engine{Name: "Tekton Pipelines", Kinds: []Kind{kind("tekton.dev", "v1", "TaskRun", "taskruns")}, Install: command("tekton")}
}
