import NIOCore
import NIOPosix
import Synchronization
import TLS

@testable import HTTPTransport

/// A backend that speaks HTTP/2 behind mutual TLS, or from the first byte on loopback.
///
/// It answers `{"received":N}` and what a path asks for: `/trailers` with trailers, `/events` with
/// three events of which each waits for ``release``, `/early` before the request has ended, `/hang`
/// never, `/large` with 1 MiB.
final class HTTP2Backend: Sendable {
    /// What one request was.
    struct Request: Sendable {
        var connection: Int
        var method = ""
        var path = ""
        var fields: [(name: String, value: String)] = []
        var bodyBytes = 0
        var isComplete = false
        var failure: String?
    }

    let requests = Watched<[Request]>([])
    let connections = Watched(0)
    private let releases = Mutex<[@Sendable () -> Void]>([])
    private let listener: Mutex<(any Channel)?> = Mutex(nil)
    private let isEncrypted: Bool

    private init(isEncrypted: Bool) { self.isEncrypted = isEncrypted }

    /// Starts it; `alpn` is what it offers.
    static func start(_ materials: Materials?, alpn: [String] = ["h2"]) async throws -> HTTP2Backend
    {
        let backend = HTTP2Backend(isEncrypted: materials != nil)
        let resources = try TestLoop.resources.get()
        let context = try materials.map {
            try TLSServerContext(
                TLSServerConfiguration(
                    certificates: [$0.backend], minimumVersion: .tls13,
                    clientAuthentication: .required, clientTrustRoots: $0.root, alpn: alpn),
                resources: resources, ticketKeys: TLSTicketKeys())
        }
        let loop = TestLoop.eventLoop
        let shared = try await loop.submit {
            let context = LoopContext(eventLoop: loop, tls: resources)
            context.deadlines.start()
            return NIOLoopBound(context, eventLoop: loop)
        }.get()
        let listener = try await ServerBootstrap(group: loop)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let context {
                        try pipeline.addHandler(
                            TLSHandler(server: context, counters: TLSCounters()))
                    }
                    backend.connections.update { $0 += 1 }
                    let number = backend.connections.value
                    let connection = HTTP2ServerConnection(
                        loop: shared.value, limits: HTTPLimits(),
                        timeouts: ServerTimeouts(head: .seconds(60), idle: .seconds(60)),
                        isEncrypted: backend.isEncrypted
                    ) { BackendExchange($0, backend, connection: number) }
                    try pipeline.addHandler(connection)
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        backend.listener.withLock { $0 = listener }
        return backend
    }

    var url: String {
        let port = self.listener.withLock { $0?.localAddress?.port } ?? 0
        return "\(self.isEncrypted ? "https" : "http")://127.0.0.1:\(port)"
    }

    /// Lets each stream of events send its next one.
    func release() {
        let releases = self.releases.withLock { releases in
            defer { releases = [] }
            return releases
        }
        for release in releases { release() }
    }

    func stop() async {
        try? await self.listener.withLock { $0.take() }?.close().get()
    }

    private final class BackendExchange: RequestReceiver {
        private let stream: any ServerStream
        private let backend: HTTP2Backend
        private let connection: Int
        private var index = 0
        private var path = ""
        private let head = MessageHead()

        init(_ stream: any ServerStream, _ backend: HTTP2Backend, connection: Int) {
            self.stream = stream
            self.backend = backend
            self.connection = connection
        }

        private func update(_ body: (inout Request) -> Void) {
            self.backend.requests.update { body(&$0[self.index]) }
        }

        func receiveRequestHead(_ head: MessageHead) {
            self.path = head.string(head.pathRange)
            self.backend.requests.update { requests in
                self.index = requests.count
                requests.append(
                    Request(
                        connection: self.connection, method: "\(head.method.name)",
                        path: self.path,
                        fields: head.fields.map {
                            (head.string($0.nameRange), head.string($0.valueRange))
                        }))
            }
            if self.path == "/early" { self.answer("early") }
        }

        func receiveRequestBody(_ bytes: ByteBuffer) {
            self.update { $0.bodyBytes += bytes.readableBytes }
        }

        func receiveRequestEnd() {
            self.update { $0.isComplete = true }
            let received = self.backend.requests.value[self.index].bodyBytes
            switch self.path {
            case "/hang", "/early": break
            case "/large": self.answer(String(repeating: "x", count: 1 << 20))
            case "/trailers":
                self.begin(.chunked)
                self.stream.sendBody(ByteBuffer(string: "body"))
                let trailers = MessageHead()
                trailers.append("x-request-id", "backend's own")
                trailers.append("grpc-status", "0")
                self.stream.sendEnd(trailers: trailers)
                self.stream.flush()
            case "/events":
                self.begin(.chunked)
                self.event(1)
            default: self.answer("{\"received\":\(received)}")
            }
        }

        private func event(_ number: Int) {
            self.stream.sendBody(ByteBuffer(string: "data: \(number)\n\n"))
            if number == 3 { self.stream.sendEnd() }
            self.stream.flush()
            guard number < 3 else { return }
            let bound = NIOLoopBound(self, eventLoop: TestLoop.eventLoop)
            self.backend.releases.withLock {
                $0.append {
                    TestLoop.eventLoop.execute { bound.value.event(number + 1) }
                }
            }
        }

        private func begin(_ framing: BodyFraming) {
            self.head.reset()
            self.head.status = 200
            self.head.append("content-type", "text/plain")
            self.stream.sendHead(self.head, framing: framing)
        }

        private func answer(_ text: String) {
            let body = ByteBuffer(string: text)
            self.begin(.length(body.readableBytes))
            self.stream.sendBody(body)
            self.stream.sendEnd()
            self.stream.flush()
        }

        func requestReadComplete() {}
        func receiveBadRequest(_ error: HTTPError, head: MessageHead?) {}
        func requestFailed(_ error: StreamError) { self.update { $0.failure = "\(error)" } }
        func answerWritabilityChanged(isWritable: Bool) {}
        func connectionClosed() {}
    }
}
