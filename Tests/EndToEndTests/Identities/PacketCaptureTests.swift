import Foundation
import NIOCore
import Testing

/// Nothing between services but TLS, as a tap on the wire sees it.
@Suite("What is on the wire", .serialized, .timeLimit(.minutes(10)))
struct PacketCaptureTests {
    @Test(
        "joining, scoring and renewing are TLS records on every port, from the first byte to the last",
        .enabled(if: PacketCapture.isPossible))
    func everyLeg() async throws {
        let ports = try await IdentityFleet.Ports.find()
        let capture = try PacketCapture(ports: ports.named.map(\.port))
        try await IdentityFleet.run(ports: ports) { fleet in
            #expect(try await fleet.score() == 200)
            let gateway = try #require(fleet.gateway)
            gateway.signal(SIGHUP)
            #expect(await gateway.errors.wait(.seconds(30)) { $0.contains("identity renewed") })
            #expect(try await fleet.score() == 200)
        }
        let directions = capture.stop()
        for (name, port) in ports.named {
            let received = directions.filter { $0.targetPort == port }
            let sent = directions.filter { $0.sourcePort == port }
            for (side, seen) in [("to", received), ("from", sent)] {
                // A connection that was there before the capture would not be looked at.
                #expect(
                    seen.contains { $0.records.applicationRecords > 0 }, "\(side) the \(name)")
                for direction in seen where direction.records.byteCount > 0 {
                    #expect(direction.problem == nil, "\(side) the \(name)")
                }
            }
            let bytes = (received + sent).reduce(0) { $0 + $1.records.byteCount }
            print("FIGURE: \(received.count) connections, \(bytes) bytes at the \(name), all TLS")
        }
    }

    @Test(
        "a request in clear is found by the same capture",
        .enabled(if: PacketCapture.isPossible))
    func inClear() async throws {
        let backend = try await RecordingBackend.start(.loopback)
        let port = try #require(backend.url.split(separator: ":").last.flatMap { Int($0) })
        let capture = try PacketCapture(ports: [port])
        let outcome = try await Command.run(
            "/usr/bin/curl", ["--silent", "--data", "body", backend.url + "/score"])
        await backend.stop()
        #expect(outcome.output == #"{"received":4}"#)
        let directions = capture.stop().filter { $0.records.byteCount > 0 }
        #expect(directions.count == 2)
        for direction in directions {
            #expect(direction.problem?.hasPrefix("no record at byte 0:") == true)
        }
    }

    private static let hello: [UInt8] = [22, 3, 1, 0, 2, 1, 2]
    private static let data: [UInt8] = [23, 3, 3, 0, 1, 7]

    /// A row: the bytes, and the byte at which they are no record; nil if they are records.
    @Test(
        "records are told from everything else, however they are cut",
        arguments: [
            (hello, nil), (hello + data, nil), (hello + [20, 3, 3, 0, 1, 1] + data, nil),
            (data, 0), (Array("GET / HTTP/1.1\r\n".utf8), 0),
            (hello + Array("PRI * HTTP/2.0".utf8), 7), (hello + [23, 3, 1, 0, 1, 7], 7),
            (hello + [24, 3, 3, 0, 1, 7], 7), (hello + [23, 3, 3, 0, 0], 7),
            (hello + [23, 3, 3, 0x41, 0], nil), (hello + [23, 3, 3, 0x41, 1], 7),
        ] as [([UInt8], Int?)])
    func records(_ bytes: [UInt8], _ problem: Int?) {
        for size in [1, 3, bytes.count] {
            var stream = TLSRecordStream()
            for start in stride(from: 0, to: bytes.count, by: size) {
                stream.take(bytes[start..<min(bytes.count, start + size)])
            }
            #expect(
                stream.problem.map { $0.prefix { $0 != ":" } }
                    == problem.map { "no record at byte \($0)" })
        }
        var cut = TLSRecordStream()
        cut.take(bytes.dropLast())
        #expect(!cut.isWhole)
    }
}
