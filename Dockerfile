# stackwarden: one static program in an empty image. `make image` builds it; plain `docker build .` does too, with or without buildx.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
# Static, so that nothing but the program has to be in the final image. Needs --target, or build scripts would be linked so too.
ENV RUSTFLAGS="-C target-feature=+crt-static" CARGO_INCREMENTAL=0
# 1 on a machine with little memory: --build-arg CARGO_BUILD_JOBS=1
ARG CARGO_BUILD_JOBS=default
# Tests and benches are not in this context, and Cargo refuses a manifest that names files it cannot find.
COPY Cargo.toml Cargo.lock ./
RUN awk '/^\[/ { skip = ($0 ~ /^\[\[(test|bench|example)\]\]/) } !skip' Cargo.toml > stripped && mv stripped Cargo.toml \
 && rustc -vV | sed -n 's/^host: //p' > target-triple
# The dependencies are a layer of their own: a change of our sources rebuilds only our crate.
RUN mkdir src && echo 'fn main() {}' > src/main.rs && : > src/lib.rs \
 && cargo build --release --locked --target "$(cat target-triple)" \
 && rm -rf src
# Cargo goes by time stamps: the sources must look newer than the empty ones they replace.
COPY src src
RUN find src -type f -exec touch {} + \
 && cargo build --release --locked --target "$(cat target-triple)" --bin stackwarden \
 && mkdir -p root/tmp root/backups root/etc/ssl/certs && chmod 1777 root/tmp \
 && cp "target/$(cat target-triple)/release/stackwarden" root/stackwarden \
 && cp -L /etc/ssl/certs/ca-certificates.crt root/etc/ssl/certs/

FROM scratch AS standard
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="stackwarden" \
      org.opencontainers.image.description="Migrations behind a backup, backups proven by restoring them, health and metrics for one Docker Compose stack" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /build/root/ /
# glibc otherwise keeps tens of megabytes after an upload: two arenas, and memory above 128 KiB goes back.
ENV MALLOC_ARENA_MAX=2 MALLOC_TRIM_THRESHOLD_=131072
EXPOSE 9180 9181
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/stackwarden", "healthcheck"]
ENTRYPOINT ["/stackwarden"]
CMD ["run"]

# The same with PostgreSQL's client programs, for databases outside the stack: `make image-with-clients`, or
# docker build --target with-clients. Every major version that the base offers is in it; with PostgreSQL's own package source
# in the base there would be more. tini takes in what programs run by `docker exec` leave behind.
FROM debian:trixie-slim AS clients
RUN apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends ca-certificates tini zstd \
      $(apt-cache pkgnames postgresql-client- | grep -E '^postgresql-client-[0-9]+$') >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb

FROM clients AS with-clients
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="stackwarden" \
      org.opencontainers.image.description="stackwarden with PostgreSQL's client programs, for databases outside the stack" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /build/root/ /
ENV MALLOC_ARENA_MAX=2 MALLOC_TRIM_THRESHOLD_=131072
EXPOSE 9180 9181
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/stackwarden", "healthcheck"]
ENTRYPOINT ["/usr/bin/tini", "-s", "--", "/stackwarden"]
CMD ["run"]

# What comes last is what is built when nobody names a target.
FROM standard
