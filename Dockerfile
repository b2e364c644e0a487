# syntax=docker/dockerfile:1
# The image of the sidecar. It has not been built yet, for lack of a container engine. The first stage runs `cargo build
# --release` on Debian 12, which is tested there.

FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin signet \
    && install -D -m 0755 target/release/signet /out/signet

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="Signet" \
      org.opencontainers.image.description="A key-management sidecar for API gateways" \
      org.opencontainers.image.licenses="Apache-2.0"
# The certificate authorities that sign for the clouds' servers.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
RUN install -d -m 0700 -o 65532 -g 65532 /var/lib/signet \
    && install -d -m 0755 -o 65532 -g 65532 /run/signet
COPY --from=build /out/signet /usr/local/bin/signet
# This user has no home directory, so the paths are set here. Mount volumes there (deploy/kubernetes/sidecar.yaml).
ENV SIGNET_DATA_DIR=/var/lib/signet \
    SIGNET_SOCKET=/run/signet/signet.sock
USER 65532:65532
EXPOSE 8080 9464
ENTRYPOINT ["/usr/local/bin/signet"]
CMD ["serve"]
