# Built in one image, run in another that holds the binary, the libraries it is linked to, and no
# compiler, no Swift runtime (it is inside the binary) and no secret.
#
#   docker build -t scoregate .
#   docker run --read-only --tmpfs /tmp -v /etc/scoregate:/etc/scoregate:ro \
#       -v scoregate:/var/lib/scoregate -p 8443:8443 scoregate
#
# Tests/image-check builds the same root without a container engine and starts the binary in it.
FROM swift:6.3-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        libssl-dev libsqlite3-dev libp11-kit-dev pkg-config make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
# Packages first: a change to Sources alone does not fetch them again.
COPY Package.swift Makefile ./
COPY Tests/setup Tests/setup
RUN swift package resolve
COPY Sources Sources
COPY Tests Tests
RUN make release

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        libssl3 libsqlite3-0 ca-certificates tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -m 0700 -o 65532 -g 65532 /var/lib/scoregate
COPY --from=build /source/.build/release/scoregate /usr/local/bin/scoregate
# A crash ends the process at once, without a look at it that would show its memory.
ENV SWIFT_BACKTRACE=enable=no
USER 65532:65532
# The only folder written to; everything else may be read-only.
VOLUME /var/lib/scoregate
WORKDIR /var/lib/scoregate
EXPOSE 8443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["scoregate", "health", "--config", "/etc/scoregate/gateway.yaml"]
ENTRYPOINT ["scoregate"]
CMD ["serve", "--config", "/etc/scoregate/gateway.yaml"]
