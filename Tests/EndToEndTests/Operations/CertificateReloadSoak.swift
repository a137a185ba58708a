import Cryptography
import Foundation
import NIOCore
import Testing

/// Handshakes while the listener's certificate is replaced, again and again; `SCOREGATE_SOAK` says how
/// often.
@Suite("Certificate reloads: soak")
struct CertificateReloadSoak {
    private static let reloads =
        ProcessInfo.processInfo.environment["SCOREGATE_SOAK"].flatMap { Int($0) } ?? 5

    @Test("no handshake fails, and each one after a reload gets the new certificate")
    func reloads() async throws {
        try await Installation.run(starts: false) { installation in
            // Two pairs of chain and key, replaced in one step, as Kubernetes does it.
            var serials: [String] = []
            for name in ["a", "b"] {
                try await installation.issueServer(name: name)
                try FileManager.default.createDirectory(
                    atPath: installation.path("pairs/\(name)"), withIntermediateDirectories: true)
                for (file, kind) in [("chain", "pem"), ("key", "key")] {
                    try FileManager.default.moveItem(
                        atPath: installation.path("certs/\(name).\(kind)"),
                        toPath: installation.path("pairs/\(name)/\(file).\(kind)"))
                }
                let chain = try WholeFile.read(
                    installation.path("pairs/\(name)/chain.pem"), maximum: 1 << 20)
                serials.append(try #require(try Certificate.chain(pem: chain).first).serial)
            }
            try Self.point(installation, to: "a")
            try installation.write(
                "gateway.yaml",
                installation.text.replacing("certs/server.pem", with: "pairs/now/chain.pem")
                    .replacing("certs/server.key", with: "pairs/now/key.key"))
            try await installation.start()
            let gateway = try installation.gateway

            let isOver = Watched(false)
            let known = Set(serials)
            let load = (0..<4).map { _ in
                Task {
                    var (handshakes, failures) = (0, [String]())
                    while !isOver.value {
                        let serial = try await Self.shake(installation)
                        handshakes += 1
                        if !known.contains(serial) { failures.append(serial) }
                    }
                    return (handshakes, failures)
                }
            }
            for reload in 1...Self.reloads {
                let next = reload % 2
                try Self.point(installation, to: ["a", "b"][next])
                gateway.signal(SIGHUP)
                let isShown = try await eventually(.seconds(60)) {
                    try await Self.shake(installation) == serials[next]
                }
                #expect(isShown, "reload \(reload)")
                // On every worker, and for good.
                if reload.isMultiple(of: 50) {
                    for _ in 0..<4 {
                        #expect(try await Self.shake(installation) == serials[next])
                    }
                }
            }
            isOver.update { $0 = true }
            var (handshakes, failures) = (0, [String]())
            for task in load {
                let (count, failed) = try await task.value
                handshakes += count
                failures += failed
            }
            print(
                "FIGURE: \(Self.reloads) certificate reloads under \(handshakes) handshakes, "
                    + "\(failures.count) failed")
            #expect(failures.isEmpty, "\(failures)")
            #expect(!gateway.errors.value.contains("reload failed"))
        }
    }

    private static func point(_ installation: Installation, to name: String) throws {
        try FileManager.default.createSymbolicLink(
            atPath: installation.path("pairs/next"), withDestinationPath: name)
        try #require(installation.move("pairs/next", to: "pairs/now"))
    }

    /// The serial number of the certificate that a new connection gets, or why it gets none.
    private static func shake(_ installation: Installation) async throws -> String {
        let client = try await installation.connect()
        let received = client.received.value
        await client.close()
        return received.serial ?? received.error ?? "closed"
    }
}
