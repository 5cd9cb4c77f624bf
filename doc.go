// Package ofn is the map of the ofn functions platform: OpenFunction as one Go program.
//
// # The way of one request
//
//	client ── internal/gateway ──── internal/activator ──── internal/instance ──── framework/go
//	          hop 1                 hop 2                   hop 3                  hop 4
//	          host and path to      the revision's bounded  one running copy, by   the user's
//	          a revision; ours for  queue and slots; asks   drivers/sandbox: its   handler
//	          HTTP/1.1 (http1*.go), the runner for copies   namespaces, cgroup,
//	          net/http for the rest when there is no room   seccomp, socket
//
// All four hops but the last are one process. internal/run/node owns the copies of a revision: it starts one when the
// activator says that a request waits, and internal/scale, which is pure, tells it how many there should be.
//
// # The way of one function
//
//	Function ── control/function/build ── Builder ── control/builder/run ── build/native ── image (registry)
//	   │                                                                                      │
//	   ├────── control/function/serve ─── Serving ── control/serving/run ── run/node ─────────┘
//	   └────── control/function/route ─── routes ─── route/embedded ── gateway table
//
// The objects live in internal/kubeapi, the real Kubernetes API server with etcd in this process; the controllers reach it
// as they would reach any cluster. api/ holds the kinds; internal/control/admission defaults, validates and converts them.
//
// On a cluster, `ofn operator`, the same objects take this way; build and serve are the same code:
//
//	Function ── control/function/build ── Builder ── control/builder/delegate ── build/shipwright ── Build, BuildRun
//	   │
//	   └────── control/function/serve ─── Servings ── control/function/place ── run/cluster, the seam ── run/knative ── Service
//	                                                                                                   └─ run/dapr ── Deployment
//
// control/function/place stands where serving/run and function/route do on one machine (routes are control/function/expose, and
// control/gateway/provide where gateway/accept does), control/builder/delegate where builder/run
// does. What `ofn up` gives the controllers and a cluster must give otherwise: a registry (the user's own, by spec.image and its push
// secret), sources (git, or a bundle in that registry), a gateway (Knative's), a node (Knative's pods). control/engines knows which
// engines are there; drift keeps their objects as they were made.
//
// # The way of one event
//
//	event/source/KIND ── event/deliver ── bus/jetstream ── event/trigger ── event/deliver ── gateway ── the function
//	a broker, a timer,   tries again,     on disk before   conditions,      or a dead
//	a webhook            dead letters     it is accepted   filters          letter
//
//	a broker ── dapr/components ── dapr/runtime ── activator ── the function ── dapr/api ── dapr/components ── a broker, a store
//	            components-contrib inputs of apps  a slot of    its framework    on the loopback of
//	                                               a copy                        that copy alone
//
//	a caller ── gateway (202) ── calls ── gateway ── the function        an asynchronous call: on disk before it is accepted
//
// A source, a bus, a trigger and an event-driven function are objects as well: control/eventsource, control/eventbus,
// control/trigger, control/component and control/serving/run resolve them for event/embedded, the engine of one machine; the first
// three for event/cluster on a cluster, which makes Deployments that read what was resolved. How many
// copies a backlog needs is asked by internal/lag, of KEDA's own scalers in a process of their own (scalers, a module of its own).
//
// # Rooms
//
//	cmd/ofn             the one binary: flags, environment, wiring. The only place where everything meets
//	api                 the kinds of OpenFunction, with defaults, validation, conversion
//	config              generated CRDs, and the manifests of ofn on a cluster; charts/ofn reads them
//	internal/kubeapi    the embedded control plane
//	internal/control    controllers, one verb each; they declare the interfaces they need
//	internal/build      the build seam; build/native with its languages behind build/native/lang; build/source fetches code. On a
//	                    cluster build/shipwright, build/tekton and build/job; build/pod, what the latter two run; build/enginetest, their suite, and build/heads, what sources are now
//	internal/image      OCI images without a daemon: registry, pull, unpack, assemble, source bundles
//	internal/run        the run seam; run/node. run/cluster, the run seam of a cluster; run/knative, run/kedahttp, run/pods; run/dapr; run/podspec, what every pod gets; run/podstatus, why pods do not come up
//	internal/drift      objects of engines, kept as they were made
//	internal/route      the route seam; route/embedded. route/cluster, the route seam of a cluster; route/gatewayapi
//	internal/event      the seam of events; cloudevent, source and its kinds, trigger, deliver; event/embedded, the engine of one
//	                    machine; event/cluster, that of a cluster, whose pods run event/embedded
//	internal/bus        the bus seam; bus/jetstream, embedded or external, bus/dapr; bustest
//	internal/dapr       Dapr's runtime in process: components, runtime, api; daprd, what a real one beside a copy is to load
//	internal/calls      asynchronous calls, durable
//	internal/compile    programs that are compiled when they are first needed: KEDA's scalers, daprd
//	internal/lag        what waits for functions, for internal/scale
//	internal/nodeapi    logs and calls by name, beside the Kubernetes API
//	internal/scale      pure: samples and policy to wanted copies
//	internal/activator  queue and slots of a revision
//	internal/gateway    routes, HTTP; gateway/relay, from gateways that wait to the one that serves
//	internal/lease      the lease of the gateway that serves a cluster, while the API server is away
//	internal/instance   one copy; drivers/sandbox, a process; drivers/wasm, a module among others in one worker process; drivers/pods,
//	                    a pod of a cluster
//	internal/telemetry  metrics, and spans by OTLP
//	internal/cli        commands that talk to a control plane
//	internal/export     functions and all that belongs to them, as manifests for another control plane, with their images
//	internal/dev        a function rebuilt and reloaded on save, without a platform
//	internal/doctor     what this machine, or a cluster, has and lacks
//	internal/install    the operator and engines on a cluster: applied, brought up to date, taken away, looked at; its manifests are config
//	framework           contract.md, the contract of all functions frameworks, and conformance, its suite; go, nodejs, python, java,
//	                    rust and wasm, the frameworks; shim, which speaks the contracts of other platforms before their functions
//	scalers             KEDA's scalers behind its ExternalScaler protocol, a module and a program of their own
//	test                scenarios against the real binary; test/servers, the real brokers and databases; test/cluster, a real Kubernetes, a
//	                    module of its own
//	bench               benchmarks that print ratios
//
// What may not import what is in imports_test.go.
package ofn
