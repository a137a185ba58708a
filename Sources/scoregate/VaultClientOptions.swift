internal import ArgumentParser
internal import Foundation
internal import HTTPTransport
internal import NIOCore
internal import ServiceConfiguration
internal import TLS

/// How a command asks a vault: where it is, and as whom.
struct VaultClientOptions: ParsableArguments {
    @Option(help: "The vault: https://HOST:PORT.")
    var vault: String

    @Option(
        help: "Your own certificate chain, PEM; the policy of the vault names its identity.",
        completion: .file(extensions: ["pem"]))
    var chain: String

    @Option(help: "The private key of the certificate.", completion: .file(extensions: ["key"]))
    var key: String

    @Option(
        help: "The roots the vault's certificate must lead to.",
        completion: .file(extensions: ["pem"]))
    var trustRoots = "certs/ca.pem"

    @Option(help: "text for people, json for programs.")
    var output: OutputFormat = .text

    /// Asks for `target`, to which the version of the interface is added.
    ///
    /// - Returns: The answer's body.
    func ask(
        _ target: String, _ method: HTTPMethod = .get, body: [UInt8] = []
    ) async throws -> [UInt8] {
        let scheme = "https://"
        guard self.vault.hasPrefix(scheme),
            let (host, port) = HostAndPort.split(
                String(self.vault.dropFirst(scheme.count)), defaultPort: 443),
            HostName.normalized(host) != nil
        else {
            throw CommandFailure(
                code: .usage, message: "\(self.vault) is not the URL of a vault: https://HOST:PORT")
        }
        let name = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        var fetch = HTTPFetch(
            "\(target)\(target.contains("?") ? "&" : "?")api-version=7.6",
            at: .host(name, port: port),
            tls: TLSClientConfiguration(
                trustRoots: self.trustRoots,
                identity: TLSCertificateFiles(chain: self.chain, key: self.key),
                peer: .dnsName(name), minimumVersion: .tls13),
            fields: [("host", "\(host):\(port)"), ("content-type", "application/json")])
        fetch.method = method
        fetch.body = body
        let answer: HTTPFetch.Answer
        do {
            answer = try await fetch.answer()
        } catch StreamError.unreachable {
            throw CommandFailure(
                code: .environment,
                message:
                    "no answer from \(self.vault): it cannot be reached: is the vault running, "
                    + "and is this its address?")
        } catch let error as StreamError {
            throw CommandFailure(
                code: .environment, message: "no answer from \(self.vault): \(error.reason)")
        } catch {
            throw CommandFailure(
                code: .environment, message: "no answer from \(self.vault): \(error)")
        }
        guard 200..<300 ~= answer.status else {
            let refusal = try? JSONDecoder().decode(Refusal.self, from: Data(answer.body))
            throw CommandFailure(
                code: .refused,
                message: refusal.map { "\($0.error.code): \($0.error.message)" }
                    ?? "the vault answered with status \(answer.status)")
        }
        return answer.body
    }

    private struct Refusal: Decodable {
        let error: Detail

        struct Detail: Decodable {
            let code: String
            let message: String
        }
    }
}
