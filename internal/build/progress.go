package build

// Stage is where a build on an engine of a cluster is.
type Stage string

// The stages of a build. The last four are its end.
const (
	Waiting   Stage = "Waiting" // for something that is not there yet, as Reason and Message say
	Running   Stage = "Running"
	Succeeded Stage = "Succeeded"
	Failed    Stage = "Failed"
	TimedOut  Stage = "TimedOut"
	Cancelled Stage = "Cancelled"
)

// Progress is what an engine of a cluster knows of a build. Such an engine is no Strategy: nobody waits inside this process for a
// build that takes place elsewhere, and that another process may take over.
type Progress struct {
	Stage           Stage
	Reason, Message string
	// Result of a build that Succeeded.
	Result Result
	// Objects are the names of what was made, by the Ref constants of the API.
	Objects map[string]string
}
