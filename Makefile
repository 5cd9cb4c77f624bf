.DEFAULT_GOAL := help
TOOLS := go tool -modfile=go.tools.mod

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/ofn for this machine
	./ofn version

test: ## every test
	./ofn test

test-cluster: ## the tests that need a real Kubernetes, on one started for them (root; minutes the first time)
	test/cluster/test.sh $(ENGINES)

generate: ## CRDs and deep copies from the types
	go generate ./api/...

lint: ## formatting, vet and the linters of .golangci.yml
	@test -z "$$(git ls-files '*.go' | xargs gofmt -l)" || { git ls-files '*.go' | xargs gofmt -l; echo "lint: run gofmt"; exit 1; }
	go vet ./...
	GOLANGCI_LINT_CACHE=$(CURDIR)/bin/lint $(TOOLS) golangci-lint run ./... # its own cache: results kept name the files of the checkout that made them

scalers: ## the program that asks KEDA's scalers: compiled with them, and one of them asked; minutes the first time
	cd scalers && CGO_ENABLED=0 go vet -tags keda . && CGO_ENABLED=0 go test -tags keda ./...

cross: ## linux/arm64 whole; the command line for darwin
	GOOS=linux GOARCH=arm64 CGO_ENABLED=0 go build -o /dev/null ./cmd/ofn
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 go build -o /dev/null ./cmd/ofn

check: generate lint cross ## what a change must pass besides the tests
	git diff --exit-code

bench: ## every benchmark, printed as ratios
	@for d in bench/*/; do echo "== $$d"; go run ./$$d || exit 1; done

.PHONY: help build test test-cluster generate lint scalers cross check bench
