import Cryptography
import Foundation
import NIOCore
import NIOPosix
import Synchronization
import TLS

/// A key vault on loopback that answers by a script: well, badly, late or not at all.
final class FakeVault: Sendable {
    /// What it was asked.
    struct Question: Sendable {
        var method: String
        var path: String
        /// Names in lower case.
        var fields: [String: String]
        var body: String
    }

    /// What it does then.
    enum Action: Sendable {
        case answer(Int, [String: String], String)
        /// Just these bytes.
        case send([UInt8])
        /// Nothing at all.
        case hang
        case close
        indirect case after(TimeAmount, Action)
        indirect case both(Action, Action)

        static func answer(_ status: Int, _ body: String) -> Self { .answer(status, [:], body) }
    }

    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let channel: Mutex<(any Channel)?> = Mutex(nil)
    private let script: Mutex<@Sendable (Question) -> Action>
    private let asked = Mutex<[Question]>([])
    private let accepted = Atomic(0)
    let port: Int

    /// Listens under these certificates.
    ///
    /// - Parameters:
    ///   - files: Its own; nil for no TLS.
    ///   - clientRoots: What clients' certificates must lead to; nil asks for none.
    ///   - script: What it does with a question.
    /// - Throws: If there is no port or no certificate to be had.
    init(
        _ files: TLSCertificateFiles?, clientRoots: String? = nil,
        _ script: @escaping @Sendable (Question) -> Action
    ) async throws {
        self.script = Mutex(script)
        let context = try files.map { files in
            try TLSServerContext(
                TLSServerConfiguration(
                    certificates: [files],
                    clientAuthentication: clientRoots == nil ? .none : .required,
                    clientTrustRoots: clientRoots,
                    purpose: clientRoots == nil ? .edge : .internal),
                resources: TLSWorkerResources(), ticketKeys: TLSTicketKeys())
        }
        let box = VaultBox()
        let channel = try await ServerBootstrap(group: self.group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let context {
                        try channel.pipeline.syncOperations.addHandler(
                            TLSHandler(server: context, counters: TLSCounters()))
                    }
                    try channel.pipeline.syncOperations.addHandler(FakeVaultConnection(box))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        self.port = channel.localAddress?.port ?? 0
        self.channel.withLock { $0 = channel }
        box.vault.withLock { $0 = self }
    }

    /// What it was asked so far.
    var questions: [Question] { self.asked.withLock { $0 } }
    /// Connections so far.
    var connections: Int { self.accepted.load(ordering: .relaxed) }

    func stop() async {
        let channel = self.channel.withLock { $0.take() }
        try? await channel?.close().get()
        try? await self.group.shutdownGracefully()
    }

    fileprivate func connected() { self.accepted.add(1, ordering: .relaxed) }

    fileprivate func action(for question: Question) -> Action {
        self.asked.withLock { $0.append(question) }
        return self.script.withLock { $0 }(question)
    }
}

/// The vault of connections that come before it is whole.
private final class VaultBox: Sendable {
    let vault = Mutex<FakeVault?>(nil)
}

private final class FakeVaultConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let box: VaultBox
    private var input = ""

    init(_ box: VaultBox) { self.box = box }

    func channelActive(context: ChannelHandlerContext) {
        self.box.vault.withLock { $0 }?.connected()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.input += String(buffer: Self.unwrapInboundIn(data))
        while let question = self.takeQuestion() {
            guard let vault = self.box.vault.withLock({ $0 }) else { return }
            self.perform(vault.action(for: question), context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func takeQuestion() -> FakeVault.Question? {
        guard let end = self.input.range(of: "\r\n\r\n") else { return nil }
        let lines = self.input[..<end.lowerBound].components(separatedBy: "\r\n")
        var fields: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            fields[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces)
        }
        let count = fields["content-length"].flatMap { Int($0) } ?? 0
        let rest = self.input[end.upperBound...]
        guard rest.utf8.count >= count else { return nil }
        let words = lines[0].split(separator: " ")
        self.input = String(rest.dropFirst(count))
        return FakeVault.Question(
            method: String(words[0]), path: String(words[1]), fields: fields,
            body: String(rest.prefix(count)))
    }

    private func perform(_ action: FakeVault.Action, _ context: ChannelHandlerContext) {
        switch action {
        case .answer(let status, let fields, let body):
            var text = "HTTP/1.1 \(status) X\r\n"
            for (name, value) in fields { text += "\(name): \(value)\r\n" }
            text += "content-length: \(body.utf8.count)\r\n\r\n\(body)"
            context.writeAndFlush(
                Self.wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
        case .send(let bytes):
            context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
        case .hang: break
        case .close: context.close(promise: nil)
        case .both(let first, let second):
            self.perform(first, context)
            self.perform(second, context)
        case .after(let pause, let action):
            let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            context.eventLoop.scheduleTask(in: pause) {
                let (connection, context) = bound.value
                connection.perform(action, context)
            }
        }
    }
}
