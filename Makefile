# `make test` is all that a contributor needs; `.ci/run` does the rest.

CARGO ?= cargo

.PHONY: test deps build lint doc pictures bench bench-lease bench-sync bench-protocol interop explore \
	properties simulate-many simulate-speed known-runs-32 fuzz coverage mutants instructions sync-histories sync-scale sync-acceptance sync-ssh

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

## Draw the README's pictures again, from one real run.
pictures:
	$(CARGO) build --release -p carp-cli --bin carp --example terminal_picture
	LC_ALL=C.UTF-8 $(CARGO) run --release -q -- demo --color always \
		--plot docs/images/demo-plot.svg >docs/images/demo.ansi
	$(CARGO) run --release -q -p carp-cli --example terminal_picture \
		<docs/images/demo.ansi >docs/images/demo.svg
	rm docs/images/demo.ansi

## Run every variant of the protocols with every peer, and write down what was seen: about nine minutes.
interop: deps
	INTEROP_REPORT="$(CURDIR)/docs/interop.md" \
		$(CARGO) test -p carp-cli --test interop -- --include-ignored

## Measure failover, faults and steady cost beside keepalived and ucarp, and our daemon under rejected packets:
## about an hour on a machine that does nothing else. BENCH="--runs 3 --only carp" is a quick look.
bench: deps
	$(CARGO) build --release -p carp-cli -p carp-benches
	./target/release/failover --svg target/failover.svg --json target/failover.json $(BENCH)

## Measure what renewing the leases of 255 addresses costs: about four minutes. Wants strace.
bench-lease:
	$(CARGO) build --release -p carp-cli -p carp-benches
	./target/release/lease

## Measure what it costs to keep data in step, beside bare rsync: about five minutes. Wants root, for sshd.
bench-sync: deps
	$(CARGO) build --release -p carp-cli -p carp-benches
	./target/release/sync $(BENCH)

## Time the protocol code with criterion: a minute or two.
bench-protocol:
	$(CARGO) bench -p carp-benches --bench protocol

## Draw this many cases for each property of packets, routers, groups and LANs: minutes, in release.
CASES ?= 10000
properties:
	PROPTEST_CASES=$(CASES) $(CARGO) test --release -p carp-proto --all-features \
		--test properties --test group_properties --test lan_properties

## Visit every order of what can happen to two and three routers, deeper than the tests do: three minutes or four.
explore:
	$(CARGO) test --release -p carp-proto --test explore -- --include-ignored --nocapture --test-threads 1

## Play random scenarios on all processors and check every invariant. MANY="--from 0 --count 10000000" says which;
## a scenario that fails is made small and saved in target/scenarios, for `carp replay`.
simulate-many:
	$(CARGO) run --release -p carp-benches --bin simulate-many -- $(MANY)

## Drive this many random histories of two servers through the decisions about data: some minutes for 50000. They are other
## ones each day; HISTORIES_SEED=SEED plays some again.
HISTORIES ?= 50000
HISTORIES_SEED ?= $(shell expr $$(date +%s) / 86400)
sync-histories:
	@echo "seed $(HISTORIES_SEED)"
	SYNC_HISTORIES=$(HISTORIES) SYNC_SEED=$(HISTORIES_SEED) $(CARGO) test --release -p carp-node --test sync_histories -- --nocapture

## Copy a share of this many files: how long a pass takes that finds nothing to do, and the daemons' memory. A million,
## FILES=1000000, takes half an hour, and 10 GB of disk.
FILES ?= 100000
sync-scale: deps
	SYNC_FILES=$(FILES) SYNC_DIRECTORY="$(CURDIR)/target" $(CARGO) test --release -p carp-cli --test sync f14 -- --nocapture

## Play everything about shares one after the other, with the bounds of the design and not twice as much, and its longest
## sequence with 100000 files: about fifteen minutes on a machine that does nothing else.
sync-acceptance: deps
	SYNC_STRICT=1 $(CARGO) test --release -p carp-cli --test sync -- --test-threads 1 --nocapture
	$(MAKE) sync-scale

## Play everything about shares with real sshd between the nodes, where a script runs the key's command else. Wants root.
sync-ssh: deps
	SYNC_SSH=1 $(CARGO) test -p carp-cli --all-features --test sync

## How many seconds of a router are simulated in a second of one processor.
simulate-speed:
	$(CARGO) run --release -p carp-benches --bin simulate-many -- --speed

## Play the simulator's tests on a machine of 32 bits: the runs of the known seeds are the same there. Under a minute.
known-runs-32:
	rustup target add i686-unknown-linux-musl
	CARGO_TARGET_I686_UNKNOWN_LINUX_MUSL_LINKER=rust-lld \
		$(CARGO) test -p carp-proto --all-features --target i686-unknown-linux-musl --test sim

## Count the instructions of what happens with every advert, and write them down as the budgets that CI compares with.
instructions: deps
	$(CARGO) build --release -p carp-benches --bin instructions
	./target/release/instructions write

## Fuzz every target for ten minutes: twenty-one targets, three hours and a half. FUZZ="-max_total_time=60" is a quick look.
FUZZ ?= -max_total_time=600
fuzz:
	command -v cargo-fuzz >/dev/null || $(CARGO) install --locked cargo-fuzz
	targets=$$($(CARGO) fuzz list) && : "$${targets:?cargo fuzz lists none}" && for target in $$targets; do \
		RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --sanitizer none "$$target" -- $(FUZZ) || exit 1; \
	done

## Show which lines of the decoders the tests run: some minutes.
coverage:
	./.ci/coverage

## Change the protocol code in every way that cargo-mutants knows, and see whether a test notices: hours, or with
## MUTANTS=--at-once a part of that; with it, ONE_IN=25 is a sample, and NUMBERS="7 8" tries these only. docs/mutation.md
## says more, .ci/mutants.toml explains those that live.
mutants:
	./.ci/mutants $(MUTANTS)
