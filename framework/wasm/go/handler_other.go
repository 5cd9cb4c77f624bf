//go:build !wasip1

package wasmfn

import "net/http"

// Handle makes h the function. It does something only in a module that is built for wasip1.
func Handle(http.Handler) {}
