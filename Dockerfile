# syntax=docker/dockerfile:1
# The image: one static program, run as uid 65532, and nothing else: no shell, no package manager, no library.
# `make image` builds it, `make image-check` says whether it is right. For both platforms at once:
#   docker buildx build --platform linux/amd64,linux/arm64 --tag REGISTRY/reloader:VERSION --push .
# Each platform is built on itself, natively or emulated: no cross-compiler to keep. It needs no network but crates.io's.

# The digest is that of the index of all platforms. The version is that of rust-toolchain.toml; a test compares them.
# podman and buildah look such a short name up where their registries.conf says, docker in its own registry.
FROM rust:1.95.0-alpine@sha256:606fd313a0f49743ee2a7bd49a0914bab7deedb12791f3a846a34a4711db7ed2 AS build
# hadolint ignore=DL3018
RUN apk add --no-cache build-base ca-certificates-bundle \
    && cargo install --locked --root /usr/local cargo-auditable@0.7.7
WORKDIR /source
COPY . .
# What the ConfigMap reloader-meta-info records about the build.
ARG RELOADER_COMMIT_HASH=unknown
ARG RELOADER_COMMIT_TIME=""
ARG RELOADER_EDITION=oss
# The toolchain is the image's (which sets RUST_VERSION), whatever rust-toolchain.toml would fetch. `auditable` puts the list
# of crates into the program, where scanners find it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target,sharing=locked \
    RUSTUP_TOOLCHAIN="$RUST_VERSION" \
    RELOADER_COMMIT_HASH="$RELOADER_COMMIT_HASH" \
    RELOADER_COMMIT_TIME="$RELOADER_COMMIT_TIME" \
    RELOADER_EDITION="$RELOADER_EDITION" \
    cargo auditable build --release --locked --bin reloader \
    && .ci/image-files target/release/reloader /etc/ssl/certs/ca-certificates.crt /root-fs

FROM scratch
ARG VERSION=""
ARG RELOADER_COMMIT_HASH=unknown
ARG RELOADER_COMMIT_TIME=""
LABEL org.opencontainers.image.title="Reloader" \
      org.opencontainers.image.description="Restarts Kubernetes workloads when a ConfigMap or Secret they use changes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${RELOADER_COMMIT_HASH}" \
      org.opencontainers.image.created="${RELOADER_COMMIT_TIME}"
COPY --from=build /root-fs/ /
# By number, so that the kubelet can tell that it is not root.
USER 65532:65532
EXPOSE 9090
ENTRYPOINT ["/reloader"]
