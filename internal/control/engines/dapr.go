package engines

// Dapr is the control plane of Dapr: its operator and injector, of which only the kinds can be seen.
func Dapr() Engine {
	return Engine{Name: "Dapr", Kinds: []Kind{
		kind("dapr.io", "v1alpha1", "Component", "components"),
		kind("dapr.io", "v1alpha1", "Resiliency", "resiliencies"),
	}, Install: command("dapr")}
}
