package engines

// GatewayAPI is the kinds of the Gateway API. ReferenceGrant is asked for in the version that all its releases serve.
func GatewayAPI() Engine {
	const group = "gateway.networking.k8s.io"
	return Engine{Name: "the Gateway API", Kinds: []Kind{
		kind(group, "v1", "Gateway", "gateways"),
		kind(group, "v1", "HTTPRoute", "httproutes"),
		kind(group, "v1beta1", "ReferenceGrant", "referencegrants"),
	}, Install: command("gateway-api")}
}
