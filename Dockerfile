# syntax=docker/dockerfile:1
# The sidecar in an image of its own.
#
# This file was not built where it was written: there was no container engine. What it runs in its first stage is
# `cargo build --release` on Debian 12, which is tested there.

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
# The authorities that vouch for the clouds' servers.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
RUN install -d -m 0700 -o 65532 -g 65532 /var/lib/signet \
    && install -d -m 0755 -o 65532 -g 65532 /run/signet
COPY --from=build /out/signet /usr/local/bin/signet
# This user has no home, so the places are said; mount volumes there (deploy/kubernetes/sidecar.yaml).
ENV SIGNET_DATA_DIR=/var/lib/signet \
    SIGNET_SOCKET=/run/signet/signet.sock
USER 65532:65532
EXPOSE 8080 9464
ENTRYPOINT ["/usr/local/bin/signet"]
CMD ["serve"]
