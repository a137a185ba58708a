internal import Cryptography
internal import Foundation
internal import Gateway
internal import HTTPTransport
internal import LoadTest
internal import Logging
internal import NIOCore
internal import SealedLog
internal import ServiceConfiguration
internal import State
internal import TLS

/// The whole system on loopback, set up, shown and removed by one command.
struct Demonstration {
    private let folder: String
    private let logger: Logger
    private let show: (String) -> Void

    /// Runs it.
    ///
    /// - Throws: What kept a part from starting, or the prediction from being right; everything
    ///   that was started is stopped, and the folder removed unless it is to be kept.
    static func run(
        isFolderKept: Bool, logger: Logger, show: @escaping (String) -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("scoregate-demo-\(UUID().uuidString.prefix(8))").path
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        defer {
            if isFolderKept {
                show("\nkept: \(folder)")
            } else {
                try? FileManager.default.removeItem(atPath: folder)
            }
        }
        try await Demonstration(folder: folder, logger: logger, show: show).run()
    }

    private func run() async throws {
        self.show("scoregate demo: a model scored over TLS, all of it on this machine\n")
        try self.makeCertificates()
        try self.makeRootKey()
        let model = try await ExampleModel.start(
            at: SocketAddress(unixDomainSocketPath: "\(self.folder)/model.sock"))
        self.show("model        the built-in iris classifier, unix:\(self.folder)/model.sock")
        do {
            try await self.serve()
        } catch {
            await model.stop()
            throw error
        }
        await model.stop()
        self.show("\nstopped and cleaned up")
    }

    private func serve() async throws {
        let configuration = try self.configuration()
        let gateway = try await Gateway.start(configuration, logger: self.logger)
        do {
            guard let port = gateway.addresses.first?.port else {
                throw CommandFailure(code: .environment, message: "the gateway has no port")
            }
            self.show("gateway      https://localhost:\(port), endpoint iris")
            let key = try self.makeEndpointKey(configuration)
            try await self.score(port: port, key: key)
        } catch {
            await gateway.stop()
            throw error
        }
        await gateway.drain()
        await gateway.stop()
        try self.showLog(configuration)
    }

    /// Shows that the request is on disk, and only sealed.
    private func showLog(_ configuration: GatewayConfiguration) throws {
        let planted = Array("[[5.1, 3.5, 1.4, 0.2]".utf8)
        var files = 0
        for folder in ["log", "state"] {
            let path = "\(self.folder)/\(folder)"
            let names = FileManager.default.enumerator(atPath: path)
            while let name = names?.nextObject() as? String {
                guard let bytes = FileManager.default.contents(atPath: "\(path)/\(name)") else {
                    continue
                }
                files += 1
                guard bytes.firstRange(of: planted) == nil else {
                    throw CommandFailure(
                        code: .refused, message: "the request stands in clear in \(name)")
                }
            }
        }
        self.show(
            "\non disk      the request's bytes are in none of \(files) files of log and state")
        let archive = try LogArchive(configuration, actor: "demo")
        let streams = try archive.streams().filter { $0.endpoint == "iris" }
        try archive.noteAccess(.read, to: streams, filter: "")
        var entries = 0
        for stream in streams {
            let report = try archive.read(stream) { entry throws(SealedLogError) in
                guard entry.kind != .event else { return }
                entries += 1
                self.show("log entry    \(LogText.json(entry))")
            }
            guard report.findings.isEmpty else {
                throw CommandFailure(code: .refused, message: "the log is not as it was written")
            }
        }
        guard entries == 2 else {
            throw CommandFailure(code: .refused, message: "the request is not in the log")
        }
        self.show("verified     every frame and the chain; this reading was logged as well")
    }

    private func makeCertificates() throws {
        let authority = try CertificateAuthority.create(trustDomain: "scoregate.local", days: 1)
        let issued = try authority.issueServer(
            commonName: "localhost", dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"], days: 1)
        try self.write("ca.pem", authority.certificate.pem)
        try self.write("gateway.pem", issued.certificate.pem)
        try WholeFile.write(
            issued.privateKeyPEM.bytes, to: "\(self.folder)/gateway.key", mode: 0o600,
            isReplacing: false)
        self.show("certificates a trust root and one for localhost, valid for a day")
    }

    private func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: "\(self.folder)/\(name)"))
    }

    private func makeRootKey() throws {
        _ = try RootKey.create(path: "\(self.folder)/root.key")
    }

    private func configuration() throws -> GatewayConfiguration {
        try self.write(
            "gateway.yaml",
            """
            trust_domain: scoregate.local
            service: {kind: gateway, name: demo}
            state: state
            root_key: {file: root.key}
            log: {directory: log, reserve_bytes: 1048576}
            workers: 1
            drain_timeout_ms: 2000
            listeners:
              - address: 127.0.0.1:0
                tls:
                  certificates: [{chain: gateway.pem, key: gateway.key}]
            endpoints:
              iris:
                traffic: {blue: 100}
                deployments:
                  blue:
                    backends: ["unix:model.sock"]
                    data_collector:
                      durability: strict
                      collections: {request: {enabled: true}, response: {enabled: true}}

            """)
        let path = "\(self.folder)/gateway.yaml"
        do throws(InvalidConfiguration) {
            return try GatewayConfiguration.read(path: path, environment: [:])
        } catch {
            throw CommandFailure(code: .environment, message: error.description)
        }
    }

    private func makeEndpointKey(_ configuration: GatewayConfiguration) throws -> String {
        let store = try StateStore(
            folder: configuration.stateDirectory,
            rootKey: RootKey.read(path: "\(self.folder)/root.key"))
        let made = try EndpointKeyRing(store: store, actor: "demo").regenerate(
            endpoint: "iris", slot: .primary)
        let end = ContinuousClock.now + .seconds(5)
        while try !store.progress(of: made.generation).isComplete, ContinuousClock.now < end {
            Thread.sleep(forTimeInterval: 0.02)
        }
        self.show("endpoint key primary, key id \(made.key.record.kid)\n")
        return String(
            decoding: (0..<made.key.text.count).map { made.key.text.bytes.byte(at: $0) },
            as: UTF8.self)
    }

    private func score(port: Int, key: String) async throws {
        let body = #"{"input_data": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}"#
        var fetch = HTTPFetch(
            "/score", at: .host("localhost", port: port),
            tls: TLSClientConfiguration(
                trustRoots: "\(self.folder)/ca.pem", peer: .dnsName("localhost"),
                minimumVersion: .tls13),
            fields: [
                ("host", "localhost:\(port)"), ("authorization", "Bearer \(key)"),
                ("content-type", "application/json"),
            ])
        fetch.method = .post
        fetch.body = Array(body.utf8)
        let answer = try await fetch.answer()
        guard let session = answer.session else {
            throw CommandFailure(code: .refused, message: "the answer did not come over TLS")
        }
        let text = String(decoding: answer.body, as: UTF8.self)
        self.show(
            """
            negotiated   \(session.version.name), \(session.cipher.name), \(session.group?.name ?? "no group")
            request      POST https://localhost:\(port)/score
                         \(body)
            answer       \(answer.status), x-request-id \(answer.value(of: "x-request-id") ?? "none"), \
            deployment \(answer.value(of: "azureml-model-deployment") ?? "none")
            prediction   \(text)
            """)
        guard answer.status == 200, text == #"["setosa", "virginica"]"# else {
            throw CommandFailure(code: .refused, message: "that is not the right prediction")
        }
        fetch.fields[1].value = "Bearer wrong"
        let refused = try await fetch.answer()
        self.show(
            "wrong key    \(refused.status), \(String(decoding: refused.body, as: UTF8.self))")
        guard refused.status == 401 else {
            throw CommandFailure(code: .refused, message: "a wrong key was not refused")
        }
    }
}
