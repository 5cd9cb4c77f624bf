package main

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/install"
)

// installSettings are the flags of `ofn install` that stay on the cluster until another one says otherwise.
type installSettings struct {
	registry, domain   string
	insecure, builders []string
	given              func(flag string) bool
}

func (s *installSettings) bind(f *pflag.FlagSet) {
	f.StringVar(&s.registry, v1beta2.ClientsRegistry, "", "HOST[/PREFIX] where functions go that name no image, as PREFIX/NAMESPACE/NAME, so that `ofn deploy DIR` needs no --image")
	f.StringSliceVar(&s.insecure, v1beta2.ClientsInsecure, nil, "host of a registry without TLS, for builds, warm pods and the command line; repeatable")
	f.StringSliceVar(&s.builders, v1beta2.ClientsBuilders, nil, "image in which functions are built where Shipwright is not, or LANGUAGE=IMAGE; repeatable")
	f.StringVar(&s.domain, v1beta2.ClientsDomain, "", "DOMAIN[:PORT] by which ofn gateway is reached from outside of the cluster: functions are <function>.<namespace>.DOMAIN")
	s.given = f.Changed
}

// said are those that were given, also the empty ones.
func (s *installSettings) said() install.Settings {
	out := install.Settings{}
	for name, value := range map[string]string{v1beta2.ClientsRegistry: strings.TrimSuffix(s.registry, "/"), v1beta2.ClientsDomain: s.domain,
		v1beta2.ClientsInsecure: strings.Join(s.insecure, ","), v1beta2.ClientsBuilders: strings.Join(s.builders, ",")} {
		if s.given(name) {
			out[name] = value
		}
	}
	return out
}
