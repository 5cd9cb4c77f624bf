module github.com/openfunction/ofn/framework/wasm/go

go 1.24
