package kubeapi

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	kubeauthenticator "k8s.io/kubernetes/pkg/kubeapiserver/authenticator"
	"k8s.io/kubernetes/pkg/serviceaccount"
)

// tokenIssuer is the issuer and the audience of service account tokens.
const tokenIssuer = "https://kubernetes.default.svc"

// serviceAccounts signs and verifies the tokens of service accounts.
type serviceAccounts struct {
	issuer serviceaccount.TokenGenerator
	keys   serviceaccount.PublicKeysGetter
}

func newServiceAccounts(p *pki) (*serviceAccounts, error) {
	issuer, err := serviceaccount.JWTTokenGenerator(tokenIssuer, p.signing)
	if err != nil {
		return nil, fmt.Errorf("preparing service account tokens: %w", err)
	}
	keys, err := serviceaccount.StaticPublicKeysGetter([]any{p.signing.Public()})
	if err != nil {
		return nil, fmt.Errorf("preparing service account tokens: %w", err)
	}
	return &serviceAccounts{issuer: issuer, keys: keys}, nil
}

// authenticate tells config who may ask: holders of a client certificate of our authority, service accounts, and anonymous callers,
// to whom RBAC gives nothing but health, version and discovery.
func authenticate(ctx context.Context, config *genericapiserver.Config, p *pki, tokens *serviceAccounts, client kubernetes.Interface, shared informers.SharedInformerFactory) error {
	clientCA, err := dynamiccertificates.NewStaticCAContent("client-ca", p.ca.certPEM)
	if err != nil {
		return fmt.Errorf("reading the client authority: %w", err)
	}
	config.SecureServing.ClientCA = clientCA
	config.Authentication.APIAudiences = authenticator.Audiences{tokenIssuer}
	authn := kubeauthenticator.Config{
		Anonymous:                      apiserver.AnonymousAuthConfig{Enabled: true},
		ClientCAContentProvider:        clientCA,
		APIAudiences:                   config.Authentication.APIAudiences,
		ServiceAccountIssuers:          []string{tokenIssuer},
		ServiceAccountLookup:           true,
		ServiceAccountPublicKeysGetter: tokens.keys,
		ServiceAccountTokenGetter:      tokenObjects{accounts: shared.Core().V1().ServiceAccounts().Lister(), client: client},
		SecretsWriter:                  client.CoreV1(),
		APIServerID:                    config.APIServerID,
	}
	request, _, _, schemes, err := authn.New(ctx)
	if err != nil {
		return fmt.Errorf("preparing authentication: %w", err)
	}
	config.Authentication.Authenticator = request
	config.OpenAPIV3Config.SecuritySchemes = schemes
	return nil
}

// tokenObjects finds what a token is bound to. Secrets are asked for one by one: few tokens are bound to one, and a cache of all
// of them would keep every credential in memory.
type tokenObjects struct {
	accounts corelisters.ServiceAccountLister
	client   kubernetes.Interface
}

func (t tokenObjects) GetServiceAccount(_ context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	return t.accounts.ServiceAccounts(namespace).Get(name)
}

func (t tokenObjects) GetSecret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	return t.client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (t tokenObjects) GetPod(_ context.Context, _, name string) (*corev1.Pod, error) {
	return nil, apierrors.NewNotFound(corev1.Resource("pods"), name)
}

func (t tokenObjects) GetNode(_ context.Context, name string) (*corev1.Node, error) {
	return nil, apierrors.NewNotFound(corev1.Resource("nodes"), name)
}
