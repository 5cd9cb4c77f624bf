package run

// Sidecar is what a revision asks of the daprd that runs beside each of its copies. What that daprd knows of components comes
// from the platform, by the name of the function.
type Sidecar struct {
	// AppID is what Dapr knows the function by.
	AppID string
	// Protocol is how the function is spoken to: http, https, grpc, grpcs or h2c. Empty: a copy that is ready shows it.
	Protocol string
	// Flags are those of daprd beside what says who, where and with which files.
	Flags []string
	// Files are further objects of Dapr as JSON or YAML, by the names of files: its Configuration is "config.yaml".
	Files map[string][]byte
	// Memory (bytes) and CPU (thousandths of a core) limit daprd alone; 0 is the platform's default and no limit.
	Memory, CPU int64
}

// SidecarConfig is the name of the file, among those of a Sidecar, that holds a Configuration.
const SidecarConfig = "config.yaml"
