# vmscaler's image: the program and libvirt's client library. libvirtd and QEMU stay on the host.
#
#   docker build -t vmscaler --build-arg VERSION="$(git describe --always --dirty)" .
#
# The bases are arguments, so that a mirror can stand in for Docker Hub.
ARG BUILDER=golang:1.26-bookworm
ARG BASE=debian:bookworm-slim

FROM ${BUILDER} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev libvirt-dev pkg-config \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
# For a network that needs them. An argument that is not given is not set here either.
ARG GOPROXY
ARG GOSUMDB
ARG GONOSUMDB
ARG GOFLAGS
WORKDIR /src
# Before the source, so that a change of it does not download the modules again.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /vmscaler ./cmd/vmscaler

FROM ${BASE}
ARG UID=65532
# The state's folder, and each role's that gets a volume, belong to the user: a new named volume is a copy of it, its owner included. The actuator's is for whoever
# runs the actuator, which may be a root that cannot write to other users' folders.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libvirt0 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && groupadd --gid "${UID}" vmscaler \
 && useradd --uid "${UID}" --gid vmscaler --no-create-home --home-dir /var/lib/vmscaler --shell /usr/sbin/nologin vmscaler \
 && install -d -o vmscaler -g vmscaler -m 0700 /var/lib/vmscaler /var/lib/vmscaler/credentials \
 && for role in collector decider actuator dashboard; do install -d -o vmscaler -g vmscaler -m 0700 "/var/lib/vmscaler/credentials/$role"; done \
 && install -d -m 1777 /var/lib/vmscaler-actuator
COPY --from=build /vmscaler /usr/local/bin/vmscaler
# The dashboard draws with more than ASCII only where the locale says that the terminal can.
ENV LANG=C.UTF-8
# By number: Kubernetes, for one, can only tell so that it is not root.
USER ${UID}:${UID}
ENTRYPOINT ["vmscaler"]
CMD ["--help"]
