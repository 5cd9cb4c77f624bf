package node

import (
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/langtest"
)

// A private registry of npm lets the login of a secret in, as a login for its host and as a .npmrc, and nobody else.
func TestPrivateRegistry(t *testing.T) {
	srv := served(t, map[string]string{"left@1.0.0": `{}`}, langtest.Private)
	host := srv.URL[len("http:"):]
	for name, c := range map[string]struct {
		given  build.Dependencies
		reason string
	}{
		"login": {langtest.Login(srv), ""},
		"file":  {build.Dependencies{Files: map[string][]byte{".npmrc": []byte(host + "/:_authToken=" + langtest.Password + "\n")}}, ""},
		"none":  {build.Dependencies{}, "DependencyForbidden"},
		"wrong": {build.Dependencies{Files: map[string][]byte{".npmrc": []byte(host + "/:_authToken=wrong\n")}}, "DependencyForbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			n := builder(t)
			s := langtest.Source{
				Files: map[string]string{"package.json": `{"dependencies":{"left":"^1.0.0"}}`, "index.js": uses},
				Env:   map[string]string{"FUNC_NAME": "hello", "NPM_CONFIG_REGISTRY": srv.URL + "/"}, Dependencies: c.given, Work: t.TempDir(),
			}
			_, log, err := s.Compile(t, n)
			if err != nil {
				t.Log(log)
				log += err.Error()
			}
			langtest.Check(t, err, c.reason)
			langtest.Forgotten(t, n.opts.Cache, log)
			langtest.Forgotten(t, s.Work)
		})
	}
}
