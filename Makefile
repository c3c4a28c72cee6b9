# The common tasks. What they need from the machine (packages, Go, libvirtd) is packaging/host-setup.sh's business; when all
# is there it changes nothing. Pass arguments with ARGS, for example: make run ARGS="--help"

HOST      := packaging/host-setup.sh
VERSION   ?= $(shell test -e .git && git describe --always --dirty 2>/dev/null || echo unknown)
PREFIX    ?= /usr/local
BENCH_ROUNDS ?= 10
BENCHTIME    ?= $(BENCH_ROUNDS)x

# The file's name carries the version, so that another version is simply another file.
GOLANGCI_VERSION := v2.15.0
GOLANGCI         := .tools/golangci-lint-$(GOLANGCI_VERSION)
NATS_VERSION     := v0.5.1
NATS             := .tools/nats-$(NATS_VERSION)
NFPM_VERSION := v2.43.4
NFPM             := .tools/nfpm-$(NFPM_VERSION)
CYCLONEDX_VERSION := v1.10.0
CYCLONEDX         := .tools/cyclonedx-gomod-$(CYCLONEDX_VERSION)

# -v names each package as it is compiled: with cgo the first build takes a while, and this is what the progress line shows.
# Go's own stamp of the version is off: it fails where git refuses to look, as in a checkout of another user.
GO_BUILD = $(HOST) quietly build "bin/vmscaler $(VERSION)" \
	go build -v -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o bin/vmscaler ./cmd/vmscaler

.DEFAULT_GOAL := help
# The steps below rely on their order; Go itself uses all cores.
.NOTPARALLEL:
.PHONY: help run demo build test test-unit test-external bench lint lint-tool nats-tool nfpm-tool template check install clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## from a fresh machine to the dashboard: packages, build, libvirt, template, then vmscaler run
	@$(HOST) packages run
	@$(GO_BUILD)
	@$(HOST) vmscaler run --setup $(ARGS)

demo: ## the same up to the template, then the demonstration with its own load
	@$(HOST) packages run
	@$(GO_BUILD)
	@$(HOST) vmscaler demo $(ARGS)

build: ## bin/vmscaler
	@$(HOST) packages build
	@$(GO_BUILD)

# The tests watch the bus with NATS's own tool, as users do. They yield to the VMs that they measure, which libvirt starts; some
# wait for libvirt's time-outs, so one more runs at a time than there are cores here.
test: $(NATS) ## every test with the race detector, against libvirt as well
	@$(HOST) packages test
	@$(HOST) libvirt
	$(HOST) as-libvirt nice -n 10 go test -race -timeout 28m -parallel 3 ./...

# Without root in the containers: make test-compose COMPOSE_UID=1000 COMPOSE_GID=$$(stat -c %g /run/libvirt/libvirt-sock)
export COMPOSE_UID COMPOSE_GID
# Not part of test, nor of CI: a cold run downloads 150 MB, takes minutes and needs 2.5 GB below /var/tmp.
.PHONY: test-compose
test-compose: ## docker-compose.yml on a Docker engine (a private one, if none runs)
	@$(HOST) packages test
	@$(HOST) libvirt
	packaging/test-engine.sh $(HOST) as-libvirt go test -tags compose -count 1 -v -timeout 40m ./cmd/vmscaler/e2e/compose

# Not part of test, nor of CI: it needs a Debian mirror, half an hour on two cores without KVM, and 2 GB below /var/tmp, where it
# keeps the release for the next time. ARGS are go test's: ARGS='-run TestVirsh'.
DISTRO   ?= trixie
PACKAGES ?= ./cmd/vmscaler/e2e
.PHONY: test-distro
test-distro: $(NATS) ## the end-to-end tests on libvirt and QEMU of DISTRO=trixie (or sid), in a root of its own
	@$(HOST) packages distro
	packaging/test-distro.sh $(DISTRO) -v $(ARGS) $(PACKAGES)

# Not part of test, nor of CI: the image takes minutes to make, once, and each of its boots about one without KVM.
.PHONY: test-image
test-image: ## a Debian system with systemd and cloud-init as template
	@$(HOST) packages image
	@$(HOST) libvirt
	packaging/test-image.sh $(HOST) as-libvirt go test -tags image -count 1 -timeout 90m -run '^Test(SystemdImage|CloudInitImage)' -v ./cmd/vmscaler/e2e

# Not part of test, nor of CI: axe-core is from npm, and no distribution has it.
AXE_VERSION := 4.14.1
.PHONY: test-axe
test-axe: ## the web page by the rules of axe-core
	@$(HOST) packages test
	@mkdir -p .tools && cd .tools && npm pack --silent axe-core@$(AXE_VERSION) >/dev/null && tar xzf axe-core-$(AXE_VERSION).tgz package/axe.min.js
	VMSCALER_TEST_AXE=$(CURDIR)/.tools/package/axe.min.js $(HOST) exec go test -count 1 -run '^TestPage$$' ./dashboard/web

# Not part of test, nor of CI: no package of Debian has Traefik, and its hundreds of modules take half an hour on two cores.
TRAEFIK_VERSION := v3.5.0
TRAEFIK         := .tools/traefik-$(TRAEFIK_VERSION)
$(TRAEFIK):
	@$(HOST) packages build
	@mkdir -p .tools
	@$(HOST) quietly test "traefik $(TRAEFIK_VERSION) built into .tools/" packaging/build-traefik.sh $(TRAEFIK_VERSION) $@

.PHONY: test-traefik
test-traefik: $(TRAEFIK) ## the load balancers of examples/, with Traefik beside HAProxy and nginx
	@$(HOST) packages test
	@$(HOST) libvirt
	VMSCALER_TEST_TRAEFIK=$(CURDIR)/$(TRAEFIK) $(HOST) as-libvirt go test -count 1 -run '^TestLoadBalancers$$' -v ./cmd/vmscaler/e2e

# Without those that build templates and boot VMs.
test-unit: ## the quick tests only
	@$(HOST) packages test
	$(HOST) exec go test -race -skip '^Test(Build.*|Upload.*|Import)$$' $$($(HOST) exec go list ./... | grep -v /e2e)

# The whole story in five processes, on NATS's own server with JetStream and on one without: three minutes beyond the rest on
# two cores without KVM, for what `make test` checks in part.
test-external: ## the longer tests on a NATS server that is not embedded
	@$(HOST) packages test
	@$(HOST) libvirt
	$(HOST) as-libvirt go test -race -timeout 20m -tags external -run External -v ./cmd/vmscaler/e2e

# Minutes each, for what wants time to pass on real VMs: a host that is full, a load in the middle of a refresh, old VMs; and what
# would make `make test` too long.
LONG := RefreshOnAFullHost|LoadDuringARefresh|MaxLifetime|Victims|HostNICsAndHugepages|Replay|LoadBalancersOfVMs|Virsh
LONG := $(LONG)|RefreshRestarts|HostsAreRebalanced|KeptDisksAtEachStep|StoppedQEMU|SlowGuests|TemplateInstall|ReplacementsKeepTheAddresses
.PHONY: test-long
test-long: $(NATS) ## the end-to-end tests that take longest
	@$(HOST) packages test
	@$(HOST) libvirt
	$(HOST) as-libvirt go test -count 1 -timeout 60m -parallel 2 -tags long -v \
		-run '^Test($(LONG))$$' ./cmd/vmscaler/e2e

# Not part of test, nor of CI: it needs root, and twenty minutes on two cores without KVM. ARGS='-run TestFleetPartition' chooses.
.PHONY: test-fleet
test-fleet: ## three hosts in namespaces of this machine, with a NATS cluster: power cuts, partitions, lost state
	@$(HOST) packages test
	@$(HOST) libvirt
	$(HOST) as-libvirt go test -tags fleet -count 1 -timeout 60m -run '^TestFleet' -v $(ARGS) ./cmd/vmscaler/e2e

# On a libvirtd of its own, which it stops and kills. Part of `make test` in short; this is the long run: each fault at least
# twice, then on at random. CHAOS_SEED and CHAOS_ONLY=fault,... repeat what failed.
CHAOS_MINUTES ?= 30
.PHONY: chaos
chaos: ## break the running program for CHAOS_MINUTES=30, and check after each fault that all is well again
	@$(HOST) packages test
	@$(HOST) libvirt
	CHAOS_MINUTES=$(CHAOS_MINUTES) $(HOST) as-libvirt go test -count 1 -timeout 0 -run '^TestChaos$$' -v ./cmd/vmscaler/e2e

.PHONY: chaos-fleet
chaos-fleet: ## break three hosts in namespaces of this machine at random, for CHAOS_MINUTES=30
	@$(HOST) packages test
	@$(HOST) libvirt
	CHAOS_MINUTES=$(CHAOS_MINUTES) $(HOST) as-libvirt go test -tags fleet -count 1 -timeout 0 -run '^TestChaosFleet$$' -v ./cmd/vmscaler/e2e

SEEDS ?= 3
.PHONY: bench-policies
bench-policies: build ## compare all policies on the traces in TRACES=dir (without: on generated ones)
	bin/vmscaler simulate $(if $(TRACES),--trace $(TRACES)) --policy predictive --compare all --boot 2s,30s,90s --seeds $(SEEDS) --each

.PHONY: bench-profile
bench-profile: ## one load profile (ramp, spike, off) on real VMs under threshold and predictive, about 6 minutes
	@$(HOST) packages test
	@$(HOST) libvirt
	$(HOST) as-libvirt go test -count 1 -timeout 30m -tags profile -run '^TestProfile$$' -v ./cmd/vmscaler/e2e

# Only the packages that have any: the others would prepare their tests for nothing.
bench: export VMSCALER_FIGURES = $(CURDIR)/dist/figures.jsonl
BENCH_TABLE = -json dist/bench.json -svg docs/performance.svg -page docs/performance.md
bench: ## one table of all figures beside rivals and limits, in BENCH_ROUNDS=10; writes it into docs/performance.md
	@$(HOST) packages bench
	@$(HOST) libvirt
	@mkdir -p dist && rm -f $(VMSCALER_FIGURES)
	status=0; $(HOST) as-libvirt go test -run '^$$' -bench . -benchtime $(BENCHTIME) $(BENCHFLAGS) \
		$(sort $(dir $(shell grep -rl '^func Benchmark' --include='*_test.go' .))) || status=$$?; \
	$(HOST) exec go run ./docs/bench -in $(VMSCALER_FIGURES) -status $$status $(BENCH_TABLE) && exit $$status

# On few VMs: that they work is what it shows, and its figures mean nothing.
.PHONY: bench-once
bench-once: BENCHTIME = 1x
bench-once: BENCHFLAGS = -short -vet=off
bench-once: BENCH_TABLE = -json dist/bench.json
bench-once: bench ## one small round of each benchmark, as CI does

lint: $(GOLANGCI) ## golangci-lint, go mod tidy and shellcheck
	@$(HOST) packages lint
	$(HOST) exec go mod tidy -diff
	$(HOST) exec $(GOLANGCI) run --build-tags compose,external,faults,fleet,image,long,profile ./...
	shellcheck $(HOST) .ci/run docs/recipes/*.sh packaging/*.sh

lint-tool: $(GOLANGCI)
nfpm-tool: $(NFPM)
nats-tool: $(NATS)

$(GOLANGCI):
	@$(HOST) packages lint
	@GOBIN=$(CURDIR)/.tools $(HOST) quietly lint "golangci-lint $(GOLANGCI_VERSION) built into .tools/" \
		go install -v github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@mv .tools/golangci-lint $@

$(NATS):
	@$(HOST) packages build
	@GOBIN=$(CURDIR)/.tools $(HOST) quietly test "nats $(NATS_VERSION) built into .tools/" \
		go install -v github.com/nats-io/natscli/nats@$(NATS_VERSION)
	@mv .tools/nats $@

$(NFPM):
	@$(HOST) packages build
	@GOBIN=$(CURDIR)/.tools $(HOST) quietly package "nfpm $(NFPM_VERSION) built into .tools/" \
		go install -v github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VERSION)
	@mv .tools/nfpm $@

$(CYCLONEDX):
	@$(HOST) packages build
	@GOBIN=$(CURDIR)/.tools $(HOST) quietly release "cyclonedx-gomod $(CYCLONEDX_VERSION) built into .tools/" \
		go install -v github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX_VERSION)
	@mv .tools/cyclonedx-gomod $@

dist/vmscaler: build
	$(HOST) exec go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)' -o $@ ./cmd/vmscaler

.PHONY: package test-package test-service dist/vmscaler
package: $(NFPM) dist/vmscaler ## the deb and the rpm, in dist/
	$(HOST) exec packaging/package.sh $(NFPM) dist/vmscaler dist

# Each architecture's program is built by one Go, so that a release is the same bytes wherever it is made, and has the standard
# library's fixes. The one that is not this machine's is built with Debian's cross compiler.
RELEASE_GO := go1.26.11
ARCHS      := amd64 arm64
.PHONY: release
release: $(NFPM) $(CYCLONEDX) vulncheck ## the packages of amd64 and arm64, bills of materials (CycloneDX) and checksums, in dist/
	@$(HOST) packages release
	rm -rf dist
	for arch in $(ARCHS); do GOTOOLCHAIN=$(RELEASE_GO) $(HOST) exec packaging/release.sh $(NFPM) $(CYCLONEDX) $$arch $(VERSION) dist || exit 1; done
	cd dist && sha256sum $$(ls | grep -v SHA256SUMS) >SHA256SUMS && sha256sum --check --quiet SHA256SUMS

GOVULNCHECK_VERSION := v1.9.0
GOVULNCHECK         := .tools/govulncheck-$(GOVULNCHECK_VERSION)
$(GOVULNCHECK):
	@$(HOST) packages build
	@GOBIN=$(CURDIR)/.tools $(HOST) quietly release "govulncheck $(GOVULNCHECK_VERSION) built into .tools/" \
		go install -v golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
	@mv .tools/govulncheck $@

# Not part of test, nor of CI: what is known changes every day, the code does not.
.PHONY: vulncheck
vulncheck: $(GOVULNCHECK) ## known vulnerabilities that the program, built as a release, can reach
	GOTOOLCHAIN=$(RELEASE_GO) $(HOST) exec packaging/vulncheck.sh $(GOVULNCHECK)

test-package: $(NFPM) dist/vmscaler ## two builds of the packages are the same; deb and rpm install, upgrade, go; units are hardened
	@$(HOST) packages package
	$(HOST) exec packaging/test-package.sh $(NFPM) dist/vmscaler

# Not part of test, nor of CI: it makes a Debian root with systemd and libvirt once (five minutes), and boots it as a container.
test-service: $(NFPM) dist/vmscaler ## the package under a real systemd: start, scale, reload, upgrade, remove
	@$(HOST) packages run
	@$(HOST) packages service
	@$(HOST) libvirt
	@test -n "$(TEMPLATE)" || virsh -c qemu:///system vol-path template-demo.qcow2 --pool vmscaler >/dev/null 2>&1 || $(MAKE) template
	$(HOST) exec packaging/test-service.sh $(NFPM) dist/vmscaler

template: build ## build the demo template
	@$(HOST) packages run
	@$(HOST) as-libvirt bin/vmscaler template build $(ARGS)

check: build ## say what this machine can do
	@$(HOST) as-libvirt bin/vmscaler check $(ARGS)

# Without building: as root that would use root's own caches and leave files that the user cannot replace.
install: ## bin/vmscaler to /usr/local/bin (PREFIX), after make build
	@test -x bin/vmscaler || { echo "there is no bin/vmscaler; first run: make build" >&2; exit 1; }
	install -D -m 0755 bin/vmscaler $(DESTDIR)$(PREFIX)/bin/vmscaler

clean: ## remove what was built
	rm -rf bin dist .tools
