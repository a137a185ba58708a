import NIOCore
import NIOPosix
import Testing

@testable import HTTPTransport

/// What an operator reads of a failure, in the access log and of commands.
@Suite struct StreamErrorTests {
    @Test(
        "errors are told in words",
        arguments: [
            (StreamError.malformed(.missingHost), "the request has no Host"),
            (.malformed(.repeatedField(.host)), "a field stands twice that may stand once"),
            (.closed, "the connection was closed"),
            (.alert(42), "TLS was ended with alert 42"),
        ])
    func words(_ error: StreamError, _ text: String) {
        #expect("\(error)" == text)
    }

    @Test("who cannot be reached is named, with the system's own words")
    func unreachable() async throws {
        let socket = "/tmp/scoregate-nobody.sock"
        #expect(await Self.failure(.unix(path: socket)) == "\(socket): No such file or directory")
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(server.localAddress?.port)
        try await server.close()
        #expect(
            await Self.failure(.host("127.0.0.1", port: port))
                == "127.0.0.1:\(port): Connection refused")
        let unknown = await Self.failure(.host("nobody.invalid", port: 1))
        #expect(unknown?.hasPrefix("nobody.invalid:1: ") == true, "\(unknown ?? "")")
        #expect(unknown?.contains("Error") == false, "\(unknown ?? "")")
    }

    private static func failure(_ address: ConnectionPool.Address) async -> String? {
        do {
            _ = try await HTTPFetch("/", at: address, tls: nil).answer()
            return nil
        } catch {
            return "\(error)"
        }
    }
}
