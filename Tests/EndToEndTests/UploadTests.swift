import Foundation
import Testing

/// Large bodies that are refused before they are read.
@Suite(
    "Uploads", .serialized, .stage(StageSetup(limits: "{body_bytes: 1048576}"))
)
struct UploadTests {
    @Test(
        "A chunked body that grows over the limit is answered 413, and the backend's request ends")
    func chunked() async throws {
        let stage = try Stage.current
        let client = try await stage.connect()
        await client.send(
            """
            POST /grows HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(stage.key)\r\n\
            Transfer-Encoding: chunked\r\n\r\n
            """)
        let piece = Array("40000\r\n".utf8) + [UInt8](repeating: 0x61, count: 0x40000) + [13, 10]
        for _ in 0..<5 { await client.send(piece) }
        #expect(await client.answers(1).map(\.status) == [413])
        #expect(await client.received.wait { $0.isInputClosed || $0.isClosed })
        #expect(
            await stage.backend.connections.wait { connections in
                !connections.contains { $0.byteCount > 100_000 && !$0.isClosed }
            })
        #expect(!stage.backend.requests.contains { $0.path == "/grows" })
        try await stage.expectNextRequestWorks()
    }

    @Test(
        "requests and httpx see why their 10 MiB were refused",
        arguments: ["requests", "httpx"], [401, 413])
    func early(client: String, status: Int) async throws {
        let python = "\(testCache)/clients/bin/python"
        guard FileManager.default.isExecutableFile(atPath: python) else {
            print("SKIPPED: requests and httpx are not installed (Tests/setup components)")
            return
        }
        // A body over every limit is refused before the key is looked at.
        let stage = try await Stage.start(
            StageSetup(limits: status == 413 ? "{body_bytes: 1048576}" : "{}"))
        let outcome = try? await Command.run(
            "/usr/bin/timeout",
            [
                "--signal=KILL", "60", python, "-c", Self.program, client,
                "https://localhost:\(stage.port)/score", stage.materials.root,
                status == 401 ? "wrong" : stage.key,
            ])
        #expect(outcome?.output == String(repeating: "\(status)\n", count: 10))
        #expect(outcome?.code == 0, "\(outcome?.errors ?? "")")
        #expect(stage.backend.byteCount == 0)
        await stage.stop()
    }

    private static let program = """
        import sys
        kind, url, root, key = sys.argv[1:]
        body = b"x" * (10 << 20)
        headers = {"Authorization": "Bearer " + key}
        for _ in range(10):
            if kind == "requests":
                import requests
                answer = requests.post(url, data=body, headers=headers, verify=root, timeout=20)
            else:
                import httpx, ssl
                answer = httpx.post(url, content=body, headers=headers, timeout=20,
                                    verify=ssl.create_default_context(cafile=root))
            print(answer.status_code)
        """
}
