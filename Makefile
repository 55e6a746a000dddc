# make demo    play with a gateway and simulated nodes; make demo-firmware with nodes that run the firmware
# make demo-home  the same house at an MQTT broker, with a client that plays Home Assistant, and three attacks
# make test    run all tests; as root, install what they need
# make quick   run the fast tests: a minute with a warm build cache
# make test-large   run the load tests of make test: floods, ten thousand handshakes
# make test-long    run tests that take too long for make test: all faults, large sites; RUN=pattern PKGS=./… choose
# make test-stress  run each package's tests five times, and three times beside eight busy loops
# make check   run vet, gofmt and staticcheck
# make vulncheck    list known vulnerabilities of modules that reach the program
# make build   build bin/latchkey for this machine
# make release  build stripped programs for Pis and servers, with hashes, in bin/release; VERSION=… names the version
# make reproducible  build a release twice, in two folders and with separate build caches, and compare the bytes
# make firmware-host  build the C firmware as programs for this machine, in bin/firmware
# make firmware-test  test the firmware, alone and with the gateway, on this machine and in QEMU
# make firmware-size  show how much of an ESP8266's flash it takes
# make screenshots  take a picture of every page of the website in bin/screenshots, and renew those in its README
# make bench-deps   install the systems that the benchmarks compare with
# make bench   measure latency, load, memory and bytes beside installed systems, in minutes; bench/README.md explains the numbers
# make bench-full   measure all of it beside all systems, in half an hour; the results go to bench/results
# make bench-go     run the Go benchmarks of the packages that a scan goes through
# make bench-compare REF=main  run them for this tree and another commit in turn; see bench/compare.sh
# make bench-gate   check allocations and bytes on the wire, which repeat exactly; takes seconds

GO      ?= go
# A count, not a time: the Go fuzzer sometimes takes its own time limit for a failure.
FUZZ    ?= 20000x
BIN     := bin/latchkey
# Debian packages of the programs that the interop tests and those of the console run. Without the font, Chromium draws no text.
PACKAGES := libcoap3-bin libcoap3-dev libmbedtls-dev libwolfssl-dev gcc libc6-dev openssl gnutls-bin tshark chromium fonts-dejavu-core libnss3-tools strace e2fsprogs mosquitto mosquitto-clients python3-jinja2 rabbitmq-server python3-qpid-proton age avahi-daemon dnsmasq-base iproute2
PROGRAMS := coap-client-openssl coap-client-gnutls gcc openssl gnutls-cli gnutls-serv tshark chromium certutil strace mkfs.ext4 mosquitto mosquitto_pub mosquitto_sub epmd rabbitmq-server age avahi-daemon dnsmasq ip
HEADERS  := coap3/coap.h mbedtls/ssl.h wolfssl/ssl.h stdio.h
# What npm installs for the tests of the console. Nothing of it is in the program.
NODE := gateway/console/webtest gateway/admin/lint # folders with programs of Node.js, for tests
# Those of the systems that bench/peer starts.
BENCH_PACKAGES := libcoap3-bin mosquitto libmosquitto-dev nginx rabbitmq-server gcc libc6-dev
BENCH_PROGRAMS := coap-server-openssl coap-server-gnutls mosquitto nginx rabbitmq-server gcc
# Modules of their own, which only benchmarks and tests run.
PEERS := $(patsubst %/go.mod,%,$(wildcard bench/peers/*/go.mod gateway/*/peers/*/go.mod gateway/*/*/peers/*/go.mod))

.PHONY: demo build check test test-large bench fuzz deps bench-deps firmware-host firmware-test firmware-size clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN) ./cli/latchkey

# Without a terminal the demo plays its fixed story.
demo: build
	@if [ -t 0 ]; then $(BIN) demo; else $(BIN) demo --script; fi

.PHONY: demo-firmware
demo-firmware: build firmware-host
	@if [ -t 0 ]; then $(BIN) demo --firmware; else $(BIN) demo --firmware --script; fi

.PHONY: demo-home
demo-home: build
	@if [ -t 0 ]; then $(BIN) demo --home; else $(BIN) demo --home --script; fi

# Lists the targets.
.PHONY: help
help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

check:
	$(GO) vet -tags large,long,firmware ./...
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi
	$(GO) tool staticcheck -tags large,long,firmware ./...
	@set -e; for m in $(PEERS); do echo "$(GO) vet -C $$m ./..."; $(GO) vet -C $$m ./...; done

# Which known vulnerabilities reach the program. It asks the Go vulnerability database, so it is not part of the test.
.PHONY: vulncheck
vulncheck:
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

# Debian starts servers such as mosquitto and nginx as it installs them, unless policy-rc.d says no: where there is none, one says so for
# that time. Tests and benchmarks start their own, which end with them.
POLICY := /usr/sbin/policy-rc.d
INSTALL = if [ ! -e $(POLICY) ]; then \
			trap 'rm -f $(POLICY)' EXIT; printf '\#!/bin/sh\nexit 101\n' >$(POLICY) && chmod 755 $(POLICY) || exit 1; \
		fi; \
		apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends

# The programs that the tests speak to. Only what is missing is installed, and only where that is possible.
deps: $(NODE:%=%/node_modules/.package-lock.json)
	@PATH="$$PATH:/usr/sbin"; missing=; for p in $(PROGRAMS); do command -v $$p >/dev/null || missing="$$missing $$p"; done; \
	for h in $(HEADERS); do [ -e /usr/include/$$h ] || missing="$$missing $$h"; done; \
	/usr/bin/python3 -c 'import jinja2' 2>/dev/null || missing="$$missing jinja2"; \
	/usr/bin/python3 -c 'import proton' 2>/dev/null || missing="$$missing proton"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	echo "missing:$$missing"; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		echo "installing $(PACKAGES)"; \
		$(INSTALL) $(PACKAGES) >/dev/null; \
	else \
		echo "install them first: sudo apt-get install $(PACKAGES)"; exit 1; \
	fi

# npm is not among the packages: where Node.js comes from elsewhere than from Debian, it brings its own, and Debian's cannot be beside it.
%/node_modules/.package-lock.json: %/package-lock.json
	@command -v npm >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing npm" && apt-get update -q >/dev/null && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends npm >/dev/null; } || \
		{ echo "install it first: sudo apt-get install npm"; exit 1; }
	@cd $* && npm ci --ignore-scripts --no-audit --no-fund --silent

# The same for the systems that the benchmarks are beside.
bench-deps:
	@PATH="$$PATH:/usr/sbin"; missing=; for p in $(BENCH_PROGRAMS); do command -v $$p >/dev/null || missing="$$missing $$p"; done; \
	for h in mosquitto.h stdio.h; do [ -e /usr/include/$$h ] || missing="$$missing $$h"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	echo "missing:$$missing"; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		echo "installing $(BENCH_PACKAGES)"; \
		$(INSTALL) $(BENCH_PACKAGES) >/dev/null; \
	else \
		echo "install them first: sudo apt-get install $(BENCH_PACKAGES)"; exit 1; \
	fi

# Each fuzz target for a few seconds. What it finds stays as a file in testdata/fuzz.
fuzz:
	@set -e; for f in $$(grep -rlE '^func Fuzz' --include='*_test.go' .); do \
		for t in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' $$f); do \
			echo "fuzz $$t ($$(dirname $$f), $(FUZZ))"; \
			$(GO) test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZ) $$(dirname $$f) >/tmp/latchkey-fuzz.$$$$ 2>&1 || { cat /tmp/latchkey-fuzz.$$$$; exit 1; }; \
			rm -f /tmp/latchkey-fuzz.$$$$; \
		done; \
	done

# The same source, version and Go make the same bytes anywhere: no paths (-trimpath), no state of the working
# tree (-buildvcs=false; VERSION says it in its place), no id of the build, no symbols. RELEASED is the commit's
# time: the gateway does not trust a clock that is behind it.
VERSION  ?= $(shell git describe --tags --always --abbrev=12 --dirty 2>/dev/null || echo devel)
RELEASED ?= $(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)
RELEASE := bin/release
ARCHS   := armv6 arm64 amd64
.PHONY: release reproducible $(addprefix release-,$(ARCHS))
release: $(addprefix release-,$(ARCHS))
	cd $(RELEASE) && sha256sum $(addprefix latchkey-linux-,$(ARCHS)) >SHA256SUMS

release-armv6: TARGET := GOARCH=arm GOARM=6
release-arm64: TARGET := GOARCH=arm64
release-amd64: TARGET := GOARCH=amd64
$(addprefix release-,$(ARCHS)): release-%:
	GOOS=linux $(TARGET) CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false \
		-ldflags '-s -w -buildid= -X latchkey/cli.release=$(VERSION) -X latchkey/gateway/clock.released=$(RELEASED)' \
		-o $(RELEASE)/latchkey-linux-$* ./cli/latchkey

reproducible:
	@GO='$(GO)' sh bench/reproducible.sh

# The firmware's tools and Mbed TLS come by themselves; its own Makefile says more.
firmware-host:
	@$(MAKE) -C firmware --no-print-directory tools
	@$(MAKE) -C firmware --no-print-directory host

firmware-test:
	@$(MAKE) -C firmware --no-print-directory test
	$(GO) test -tags firmware -run Firmware -count=1 -parallel 8 -timeout 12m ./gateway/e2e ./cli ./coapres/device ./coapres/wire

firmware-size:
	@$(MAKE) -C firmware --no-print-directory tools
	@$(MAKE) -C firmware --no-print-directory size

# The fuzzers and the firmware's tests, which are compiled and linked one by one, run side by side. Then four packages at a time, those
# with the longest tests first, and in each of them four of those tests that may run in parallel: many wait for a server or a clock.
LONGEST := ./gateway/console ./gateway/e2e ./gateway/store ./coapres/transport ./bench/latchkey-bench ./cli ./gateway/website ./gateway/admin
test: deps bench-deps check release reproducible
	@$(MAKE) --no-print-directory fuzz >bin/fuzz.log 2>&1 & fuzz=$$!; \
		$(MAKE) --no-print-directory firmware-test; firmware=$$?; \
		wait $$fuzz; fuzzed=$$?; cat bin/fuzz.log; exit $$((firmware | fuzzed))
	$(GO) test -race -p 4 -parallel 4 -timeout 20m $(LONGEST) ./...
	$(MAKE) bench-gate
	$(MAKE) test-large

# The packages whose tests take longest are left out; those on the way of a scan are not.
SLOW := latchkey/gateway/e2e latchkey/gateway/console latchkey/gateway/certificate latchkey/cli latchkey/bench%
.PHONY: quick
quick:
	$(GO) vet ./...
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi
	$(GO) test -timeout 2m $(filter-out $(SLOW),$(shell $(GO) list ./...))
	$(GO) test -timeout 2m -run 'TestDoor' ./gateway/e2e

# LATCHKEY_TEST_HANG=1h makes the server of a sink hang for as long in TestLongHang, which is 2 min otherwise.
RUN  ?= Long
PKGS ?= ./...
.PHONY: test-long
test-long: deps bench-deps firmware-host
	$(GO) test -tags long,firmware -run '$(RUN)' -count=1 -p 1 -timeout 180m -v $(PKGS)

.PHONY: test-stress
test-stress: deps bench-deps
	@GO='$(GO)' sh bench/stress.sh

SHOTS := bin/screenshots
PICTURES := gateway/console/pictures
.PHONY: screenshots
screenshots: deps
	rm -rf $(SHOTS)
	$(GO) test -run TestPages -count=1 -timeout 5m ./gateway/console -screenshots $(CURDIR)/$(SHOTS)
	@mkdir -p $(PICTURES) && for p in $(notdir $(wildcard $(PICTURES)/*.png)); do \
		page=$${p%-*-*}; cp $(SHOTS)/$$page/$${p#$$page-} $(PICTURES)/$$p || exit 1; done

# What is about memory and load: without the race detector, which costs too much of both, and one package at a time.
test-large:
	$(GO) test -tags large -run Large -count=1 -p 1 -timeout 8m ./gateway/e2e ./coapres/transport

# Without the race detector, which allocates too.
.PHONY: bench-gate
bench-gate:
	$(GO) test -run 'TestGate[A-Z]|Alloc' -count=1 -timeout 3m ./coapres ./coapres/wire ./gateway/access ./gateway/store ./coapres/transport ./coapres/transport/message ./bench ./bench/wirebytes

BENCH_BIN := bin/latchkey-bench
BENCH_COMMIT = $(shell git describe --always --abbrev=12 --dirty=+changes 2>/dev/null || echo unknown)

.PHONY: bench-build
bench-build:
	@$(GO) build -trimpath -o $(BENCH_BIN) ./bench/latchkey-bench

bench: bench-build
	$(BENCH_BIN) -commit '$(BENCH_COMMIT)' -out bin/bench

.PHONY: bench-full
bench-full: bench-deps bench-build
	$(BENCH_BIN) -full -commit '$(BENCH_COMMIT)' -out bench/results/$$(date -u +%Y-%m-%d)

.PHONY: bench-go
bench-go:
	$(GO) test -run '^$$' -bench . -benchmem ./coapres/wire ./gateway/access ./gateway/store ./bench

.PHONY: bench-compare
bench-compare:
	@GO='$(GO)' sh bench/compare.sh '$(REF)'

clean:
	rm -rf bin firmware/build
