package engines

// KEDA scales by triggers.
func KEDA() Engine {
	const group, version = "keda.sh", "v1alpha1"
	return Engine{Name: "KEDA", Kinds: []Kind{
		kind(group, version, "ScaledObject", "scaledobjects"),
		kind(group, version, "ScaledJob", "scaledjobs"),
		kind(group, version, "TriggerAuthentication", "triggerauthentications"),
	}, Install: command("keda")}
}
