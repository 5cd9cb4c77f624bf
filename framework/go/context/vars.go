package context

import (
	"context"
	"net/http"
)

type varsKey struct{}

// CtxWithVars returns a copy of ctx that carries path variables, for VarsFromCtx.
func CtxWithVars(ctx context.Context, vars map[string]string) context.Context {
	return context.WithValue(ctx, varsKey{}, vars)
}

// VarsFromCtx returns the variables of the path the function was called on: {"name": "bob"} when it is registered at
// "/hello/{name}" and called at "/hello/bob". It is nil when there are none.
func VarsFromCtx(ctx context.Context) map[string]string {
	vars, _ := ctx.Value(varsKey{}).(map[string]string)
	return vars
}

// URLParamFromCtx returns one variable of the path, empty when there is none of that name.
func URLParamFromCtx(ctx context.Context, key string) string { return VarsFromCtx(ctx)[key] }

// URLParamsFromCtx returns all variables of the path in a map of its own, which is never nil.
func URLParamsFromCtx(ctx context.Context) map[string]string {
	params := map[string]string{}
	for k, v := range VarsFromCtx(ctx) {
		params[k] = v
	}
	return params
}

// Vars returns the path variables of a request.
func Vars(r *http.Request) map[string]string { return VarsFromCtx(r.Context()) }
