# `make test` is all that a contributor needs; `.ci/run` does the rest.

CARGO ?= cargo

.PHONY: test deps build lint doc

## Install what the tests need (Debian's packages), then run all tests.
test: deps
	$(CARGO) test --workspace --all-features

## The peers and tools that the tests run against. Nothing is started.
deps:
	./.ci/install-test-deps

build:
	$(CARGO) build --release

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --all-features
