# A release names both images by digest, so that what is built can't change with a tag:
#   docker build --build-arg BUILD_IMAGE=rust@sha256:… --build-arg BASE_IMAGE=debian@sha256:… .
# `docker buildx imagetools inspect rust:1.95-bookworm` tells the digest of the tag.
ARG BUILD_IMAGE=rust:1.95-bookworm
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends libclang-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
# What `perdura --version` says; the image is built without the repository.
ARG PERDURA_COMMIT
RUN cargo build --release --locked --bin perdura

FROM ${BASE_IMAGE}
RUN useradd --system --uid 6379 --home-dir /data --shell /usr/sbin/nologin perdura \
    && install --directory --owner perdura --group perdura --mode 0700 /data
COPY --from=build /source/target/release/perdura /usr/local/bin/perdura
USER perdura
VOLUME /data
# Reachable from outside the container, where a password is set (PERDURA_REQUIREPASS).
ENV PERDURA_DIR=/data PERDURA_BIND=*
EXPOSE 6379
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["perdura", "ping"]
ENTRYPOINT ["perdura"]
CMD ["serve"]
