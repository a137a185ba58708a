import Foundation
import Testing

/// What refused clients leave behind; `SCOREGATE_SOAK` says how many dozen of each kind there are.
@Suite("Memory soak", .serialized, .stage())
struct RefusedMemorySoak {
    private static let connections =
        ProcessInfo.processInfo.environment["SCOREGATE_SOAK"].flatMap { Int($0) }
        .map { max($0 * 12, 40) } ?? 40

    /// What a client sends before it leaves, or is sent away.
    enum Kind: String, CaseIterable {
        case pings
        case settings
        case priority
        case unknown = "frames of no known type"
        case tinyWindows = "WINDOW_UPDATE by one"
        case fieldBomb = "one field named again and again"
        case endlessContinuation = "CONTINUATION without end"
        case endlessHead = "a head without end"
        case cutFields = "a head whose last field is cut"
        case emptyData = "DATA without a byte"
        case endlessBody = "a body without end"
        case resets = "streams reset at once"
        case dataOnNoStream = "DATA on no stream"

        func bytes(_ fields: [(String, String)]) -> [UInt8] {
            let block = RawFrame.block(fields)
            let openHead = RawFrame(type: 1, stream: 1, payload: block).bytes
            let openBody = RawFrame.headers(fields, endsStream: false)
            switch self {
            case .pings:
                return Self.many(RawFrame(type: 6, stream: 0, payload: [0, 0, 0, 0, 0, 0, 0, 0]))
            case .settings:
                return Self.many(RawFrame(type: 4, stream: 0))
            case .priority:
                return Self.many(RawFrame(type: 2, stream: 1, payload: [0, 0, 0, 3, 1]))
            case .unknown:
                return Self.many(RawFrame(type: 0xbb, stream: 0))
            case .tinyWindows:
                return Self.many(RawFrame(type: 8, stream: 0, payload: [0, 0, 0, 1]))
            case .fieldBomb:
                // Put into the dynamic table once, then named by index 62.
                let value = String(repeating: "a", count: 4000)
                let entry = [UInt8(0x40)] + RawFrame.string("bomb") + RawFrame.string(value)
                return RawFrame.headers(
                    block: block + entry + [UInt8](repeating: 0xbe, count: 9000))
            case .endlessContinuation:
                let field: [UInt8] = [0, 1, 97, 1, 98]
                return openHead + Self.many(RawFrame(type: 9, stream: 1, payload: field))
            case .endlessHead:
                return openHead
            case .cutFields:
                return RawFrame(type: 1, flags: 4, stream: 1, payload: block + [0, 9]).bytes
            case .emptyData:
                return openBody + Self.many(RawFrame(type: 0, stream: 1))
            case .endlessBody:
                return openBody + RawFrame.data("some", endsStream: false)
            case .resets:
                var bytes: [UInt8] = []
                for stream in stride(from: UInt32(1), to: 201, by: 2) {
                    bytes += RawFrame.headers(fields, stream: stream) + RawFrame.reset(stream)
                }
                return bytes
            case .dataOnNoStream:
                return openHead + RawFrame(type: 0, stream: 0).bytes
            }
        }

        private static func many(_ frame: RawFrame) -> [UInt8] {
            Array([[UInt8]](repeating: frame.bytes, count: 300).joined())
        }
    }

    @Test("clients that are sent away, or leave, take their memory along", arguments: Kind.allCases)
    func memory(_ kind: Kind) async throws {
        let stage = try Stage.current
        func connect(_ count: Int) async throws {
            for number in 0..<count {
                // Each from a network of its own, or they would have to wait for each other.
                let client = try await RawClient.connect(
                    port: stage.port, root: stage.materials.root, alpn: ["h2"],
                    source: "127.\(1 + number / 250).\(number % 250).1")
                await client.send(RawFrame.start + kind.bytes(stage.fields()))
                await client.close()
            }
            try await stage.expectNextRequestWorks()
        }
        // Buffers and tables grow at first.
        try await connect(20)
        let before = stage.gateway.residentKilobytes
        try await connect(Self.connections)
        let grown = stage.gateway.residentKilobytes - before
        print("FIGURE: \(kind.rawValue): \(Self.connections) connections, \(grown) KiB grown")
        // A connection has some 30 KiB; more than a quarter of that each is no chance.
        #expect(grown < 8 * Self.connections)
    }
}
