package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/opaque"
)

// TriggerAuthenticationSpec says where the parameters of a trigger come from. Where several name the same one, the secret's holds.
type TriggerAuthenticationSpec struct {
	// SecretTargetRef takes parameters from secrets of the namespace.
	// +optional
	SecretTargetRef []SecretTarget `json:"secretTargetRef,omitempty"`
	// Env takes parameters from the environment of the function that is scaled.
	// +optional
	Env []Environment `json:"env,omitempty"`

	// PodIdentity belongs to a cluster, and is refused.
	// +optional
	PodIdentity *opaque.Object `json:"podIdentity,omitempty"`
	// HashiCorpVault is not read, and refused.
	// +optional
	HashiCorpVault *opaque.Object `json:"hashiCorpVault,omitempty"`
	// AzureKeyVault is not read, and refused.
	// +optional
	AzureKeyVault *opaque.Object `json:"azureKeyVault,omitempty"`
	// GCPSecretManager is not read, and refused.
	// +optional
	GCPSecretManager *opaque.Object `json:"gcpSecretManager,omitempty"`
	// AwsSecretManager is not read, and refused.
	// +optional
	AwsSecretManager *opaque.Object `json:"awsSecretManager,omitempty"`
}

// SecretTarget is a parameter that is one key of a secret.
type SecretTarget struct {
	// Parameter of the trigger.
	Parameter string `json:"parameter"`
	// Name of the secret.
	Name string `json:"name"`
	// Key inside it.
	Key string `json:"key"`
}

// Environment is a parameter that is a variable of the function.
type Environment struct {
	// Parameter of the trigger.
	Parameter string `json:"parameter"`
	// Name of the variable.
	Name string `json:"name"`
	// ContainerName has no meaning for a function: it has one container.
	// +optional
	ContainerName string `json:"containerName,omitempty"`
}

// TriggerAuthentication is what triggers of functions of its namespace log in with.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:resource:path=triggerauthentications,shortName=ta;triggerauth
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type TriggerAuthentication struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec TriggerAuthenticationSpec `json:"spec"`
}

// TriggerAuthenticationList is a list of TriggerAuthentications.
//
// +kubebuilder:object:root=true
type TriggerAuthenticationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []TriggerAuthentication `json:"items"`
}
