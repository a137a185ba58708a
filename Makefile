# make demo      builds and runs the whole system on loopback: one request scored, then cleaned up
# make test      lint, and every test
# make soak N=…  the suites named …Soak, repeating N times what they repeat, N thousand inputs of a
#                fuzzer for each parser, and the sanitizers
# make bench     measures against nginx, HAProxy and Envoy (arguments in BENCH, e.g. --short)
# make release   .build/release/scoregate, the Swift runtime inside
# make lint      format and the rules of .github/CONTRIBUTING.md that a script can check

# Debug, test and release builds share what they are told, so that none rebuilds another's work.
SWIFT_BUILD := swift build --explicit-target-dependency-import-check error
# Run-time exclusivity checks cost 4 to 12 % of a request. They stay on in every build that is
# tested and are off in the release only. The toolchain's own linker makes more calls direct than
# gold, the default: 370 of a request's 75,000 instructions less, and the link takes a third.
RELEASE := -c release --static-swift-stdlib -Xswiftc -enforce-exclusivity=unchecked \
	-Xswiftc -use-ld=lld
# Which sanitizers `make soak` also builds and runs the tests under; each is a build from nothing:
# make soak SANITIZERS="address thread"
SANITIZERS ?=
# Most tests start processes and wait for them. All suites at once, as swift-testing would run them,
# keep two cores so busy that waits meant for seconds run out; this many are as quick.
RUN_TESTS := SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=$(shell expr 2 + 2 '*' $$(nproc)) \
	swift test --skip-build --disable-xctest
N ?= 1000
BENCH ?=

.PHONY: demo test soak bench release lint packages components

# A debug build is minutes quicker from nothing; a release build that is up to date is used as it is.
demo: packages
	@if [ -x .build/release/scoregate ] \
	    && [ -z "$$(find Package.swift Sources -newer .build/release/scoregate -print -quit)" ]; then \
	    exec .build/release/scoregate demo; \
	fi; \
	$(SWIFT_BUILD) --product scoregate && exec .build/debug/scoregate demo

# Tests that only compute keep the few threads that all tests share, for seconds and in the soak for a
# minute: a client that waited for one found its connection closed by then. Those that talk to processes
# run by themselves.
test: components lint
	$(SWIFT_BUILD) --build-tests
	$(RUN_TESTS) --skip EndToEndTests
	$(RUN_TESTS) --filter EndToEndTests

soak: components
	$(SWIFT_BUILD) --build-tests
	SCOREGATE_SOAK=$(N) $(RUN_TESTS) --filter Soak --skip EndToEndTests
	SCOREGATE_SOAK=$(N) $(RUN_TESTS) --filter 'EndToEndTests\..*Soak'
	@set -e; for target in request response records http2-server http2-client; do \
	    .ci/fuzz $$target $$((1000 * $(N))); \
	done
	@set -e; for sanitizer in $(SANITIZERS); do .ci/sanitize $$sanitizer; done

bench: release
	SCOREGATE_BENCH=1 $(SWIFT_BUILD) $(RELEASE) --product Sealing
	Tests/setup bench
	python3 Benchmarks/bench.py $(BENCH)

release: packages
	$(SWIFT_BUILD) $(RELEASE) --product scoregate

lint:
	.ci/lint

packages:
	@Tests/setup packages

components:
	@Tests/setup components
