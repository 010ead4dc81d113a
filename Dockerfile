# chat-server as a container. Build: docker build -t chat-server .
# Run:   docker run -p 9000:9000 -v chat:/data chat-server --tls auto
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package chat-server --package chat-client \
    && strip target/release/chat-server target/release/chat-client \
    && mkdir -m 0700 /made && mkdir -m 0700 /made/data

FROM debian:bookworm-slim
COPY --from=build /src/target/release/chat-server /src/target/release/chat-client /usr/bin/
# A number, so that a cluster can check that it is not root.
COPY --from=build --chown=65532:65532 /made/data /data
USER 65532:65532
VOLUME /data
EXPOSE 9000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/usr/bin/chat-server", "health", "--data", "/data"]
ENTRYPOINT ["/usr/bin/chat-server", "--bind", "0.0.0.0", "--data", "/data", "--logs", "/data/logs"]
