package v1beta2

// How an installation on a cluster was told to work is in the ConfigMap ClientsConfig of SystemNamespace, made by `ofn install`. Every
// user of the cluster may read it, because the command line does: it holds no secrets.
const (
	SystemNamespace = "openfunction"
	ClientsConfig   = "ofn-clients"

	// ClientsRegistry is the registry, with the beginning of a repository's name, where functions go that name no image.
	ClientsRegistry = "registry"
	// ClientsInsecure are hosts of registries without TLS, by commas.
	ClientsInsecure = "insecure-registry"
	// ClientsBuilders are images in which functions are built, as flags of the operator have them, by commas.
	ClientsBuilders = "builder-image"
	// ClientsDomain is the domain, with a port that is not the usual one, of functions behind `ofn gateway`.
	ClientsDomain = "domain"
)
