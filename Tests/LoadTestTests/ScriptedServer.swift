import NIOCore
import NIOPosix
import Synchronization

/// A server of tests that does what it is told with each request; each read is taken for one, which holds for
/// small requests without pipelining.
final class ScriptedServer: Sendable {
    /// What becomes of a request.
    enum Reaction: Sendable {
        /// Answers with `ok`, at once or later.
        case answer(after: TimeAmount = .zero)
        /// Sends these bytes.
        case send(String)
        /// Says nothing.
        case silence
        /// Closes.
        case close
    }

    static let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let channel: any Channel
    private let log = HoldingLog()

    /// From each request's arrival to its answer, by the server's own clock, the shortest first.
    var heldTimes: [TimeAmount] { self.log.times.withLock { $0.sorted() } }

    var url: String { "http://127.0.0.1:\(self.channel.localAddress?.port ?? 0)/" }

    private init(_ react: @escaping @Sendable (_ sinceFirst: TimeAmount) -> Reaction) async throws {
        let start = FirstTime()
        let log = self.log
        self.channel = try await ServerBootstrap(group: self.group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        Handler(log: log) {
                            let now = NIODeadline.now()
                            return react(now - start.time(orIfNone: now))
                        })
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    /// Starts it, runs `body` and stops it.
    static func run<Value>(
        _ react: @escaping @Sendable (_ sinceFirst: TimeAmount) -> Reaction,
        _ body: (ScriptedServer) async throws -> Value
    ) async throws -> Value {
        let server = try await ScriptedServer(react)
        do {
            let value = try await body(server)
            try await server.group.shutdownGracefully()
            return value
        } catch {
            try await server.group.shutdownGracefully()
            throw error
        }
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let log: HoldingLog
        private let react: () -> Reaction

        init(log: HoldingLog, _ react: @escaping () -> Reaction) {
            self.log = log
            self.react = react
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch self.react() {
            case .answer(let time):
                let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
                let (log, came) = (self.log, NIODeadline.now())
                context.eventLoop.scheduleTask(deadline: came + time) {
                    log.times.withLock { $0.append(.now() - came) }
                    Self.send(ScriptedServer.answer, bound.value)
                }
            case .send(let text): Self.send(text, context)
            case .silence: break
            case .close: context.close(promise: nil)
            }
        }

        private static func send(_ text: String, _ context: ChannelHandlerContext) {
            context.writeAndFlush(NIOAny(ByteBuffer(string: text)), promise: nil)
        }
    }
}

/// How long requests were held.
private final class HoldingLog: Sendable {
    let times = Mutex<[TimeAmount]>([])
}

/// When the first request came.
private final class FirstTime: Sendable {
    private let value = Mutex<NIODeadline?>(nil)

    func time(orIfNone now: NIODeadline) -> NIODeadline {
        self.value.withLock { value in
            let time = value ?? now
            value = time
            return time
        }
    }
}
