package engine

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/host"
	"github.com/OpenFunction/functions-framework-go/internal/registry"
)

// route is one function at one place.
type route struct {
	function *registry.Function
	path     string
	// subtree serves every path below as well.
	subtree bool
}

// placed says where functions are served: each at its path. A function that is alone and named no path gets all paths, because a
// gateway may put any prefix before what it hands on; one that is alone because the target selected it is also at
// the root, where callers of a single function look for it.
func placed(functions []*registry.Function, targeted bool) []route {
	alone := len(functions) == 1
	var routes []route
	for _, f := range functions {
		routes = append(routes, route{f, f.Path, alone && f.Path == registry.DefaultPath})
		if alone && targeted && f.Path != registry.DefaultPath {
			routes = append(routes, route{f, registry.DefaultPath, false})
		}
	}
	return routes
}

// newRouter serves routes; path variables go into the request's context and its PathValue. Other paths are answered with 404, other methods
// with 405 and the methods that are allowed. When there are several functions, each answer names its own.
func newRouter(routes []route, several bool, handler func(*registry.Function) http.Handler) (http.Handler, error) {
	router := mux.NewRouter().SkipClean(true) // a redirect would turn POST into GET
	var made []*mux.Route
	for _, rt := range routes {
		m := router.NewRoute()
		if rt.subtree {
			m = m.PathPrefix(rt.path)
		} else {
			m = m.Path(rt.path)
		}
		if len(rt.function.Methods) > 0 {
			m = m.Methods(rt.function.Methods...)
		}
		h := handler(rt.function)
		if several {
			h = named(rt.function.Name, h)
		}
		m = m.Handler(withVars(h))
		if err := m.GetError(); err != nil {
			return nil, &pathError{rt.function.Name, rt.path, err}
		}
		made = append(made, m)
	}
	router.MethodNotAllowedHandler = notAllowed(routes, made)
	router.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no function is served at this path", http.StatusNotFound)
	})
	return router, nil
}

func named(function string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, host.Serving(w, r, function))
	})
}

type pathError struct {
	function, path string
	err            error
}

func (e *pathError) Error() string {
	return "function \"" + e.function + "\": path " + e.path + " is not a valid pattern: " + e.err.Error()
}

func (e *pathError) Unwrap() error { return e.err }

func withVars(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		vars := mux.Vars(r)
		if len(vars) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		for name, value := range vars {
			r.SetPathValue(name, value)
		}
		next.ServeHTTP(w, r.WithContext(ofctx.CtxWithVars(r.Context(), vars)))
	})
}

func notAllowed(routes []route, made []*mux.Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for i, rt := range routes {
			for _, method := range rt.function.Methods {
				probe := *r
				probe.Method = method
				if made[i].Match(&probe, &mux.RouteMatch{}) {
					allowed = append(allowed, method)
				}
			}
		}
		slices.Sort(allowed)
		w.Header().Set("Allow", strings.Join(slices.Compact(allowed), ", "))
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	})
}
