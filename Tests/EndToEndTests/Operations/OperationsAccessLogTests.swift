import Foundation
import Testing

/// What the access log says of a request, and what it never says.
@Suite("Operations: access log")
struct OperationsAccessLogTests {
    /// The fields of Azure's traffic log, then ours.
    private static let fields: Set<String> = [
        "Method", "Path", "EndpointName", "DeploymentName", "Protocol", "ResponseCode",
        "ResponseCodeReason", "ModelStatusCode", "ModelStatusReason", "RequestPayloadSize",
        "ResponsePayloadSize", "UserAgent", "XRequestId", "XMSClientRequestId", "TotalDurationMs",
        "RequestDurationMs", "ResponseDurationMs", "RequestThrottlingDelayMs",
        "ResponseThrottlingDelayMs", "AuthType", "IdentityData", "Time", "TlsVersion", "TlsCipher",
        "PeerAddress",
    ]

    /// The whole lines of the log, once there are so many.
    private static func lines(
        _ installation: Installation, _ count: Int, file: String = "access.log"
    ) async throws -> [[String: Any]] {
        let isThere = try await eventually {
            installation.read(file).split(separator: "\n").count >= count
        }
        #expect(isThere)
        return try installation.read(file).split(separator: "\n").map { line in
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8))
            return try #require(object as? [String: Any])
        }
    }

    @Test("One line a request with every field, and without key, query or body")
    func fields() async throws {
        try await Installation.run { installation in
            let key = try await installation.key()
            let client = try await installation.connect()
            await client.send(
                installation.request(
                    key, "/score?token=QUERYSECRET",
                    lines: """
                        User-Agent: \(String(repeating: "u", count: 100))\r\n\
                        X-Request-Id: one\r\nX-Ms-Client-Request-Id: two\r\n
                        """, body: #"{"x": "BODYSECRET"}"#))
            #expect(try await client.answer().status == 200)
            let line = try #require(try await Self.lines(installation, 1).first)
            #expect(Self.fields.subtracting(line.keys) == [])
            #expect(line["Method"] as? String == "POST")
            #expect(line["Path"] as? String == "/score")
            #expect(line["EndpointName"] as? String == "iris")
            #expect(line["DeploymentName"] as? String == "blue")
            #expect(line["ResponseCode"] as? Int == 200)
            #expect(line["ModelStatusCode"] as? Int == 200)
            #expect(line["RequestPayloadSize"] as? Int == 19)
            #expect(line["ResponsePayloadSize"] as? Int == #"{"received":19}"#.utf8.count)
            #expect((line["UserAgent"] as? String)?.count == 70)
            #expect(line["XRequestId"] as? String == "one")
            #expect(line["XMSClientRequestId"] as? String == "two")
            #expect(line["AuthType"] as? String == "key")
            let list = try await installation.command("keys", "list", "iris").output
            #expect(list.contains(try #require(line["IdentityData"] as? String)))
            #expect(line["TlsVersion"] as? String == "TLSv1.3")
            #expect(line["PeerAddress"] as? String == "127.0.0.1")
            let text = installation.read("access.log")
            for secret in ["QUERYSECRET", "BODYSECRET", key, String(key.dropFirst(17))] {
                #expect(!text.contains(secret))
            }
        }
    }

    @Test("A request that was refused as HTTP has the reason the client got")
    func refused() async throws {
        try await Installation.run { installation in
            let long = String(repeating: "a", count: 20_000)
            let cases: [(line: String, fields: String, status: Int, reason: String)] = [
                ("TRACE /score HTTP/1.1", "", 405, "method_not_allowed"),
                (
                    "POST /score HTTP/1.1", "Content-Length: 999999999999\r\n", 413,
                    "content_too_large"
                ),
                ("GET /\(long) HTTP/1.1", "", 414, "uri_too_long"),
                (
                    "POST /score HTTP/1.1", "Expect: x\r\nContent-Length: 1\r\n", 417,
                    "expectation_failed"
                ),
                (
                    "POST /score HTTP/1.1", "A: \(long)\r\n", 431,
                    "request_header_fields_too_large"
                ),
                ("BREW /score HTTP/1.1", "", 501, "not_implemented"),
                ("GET /score HTTP/1.2", "", 505, "http_version_not_supported"),
                ("GET /score", "", 400, "bad_request"),
            ]
            for (number, wrong) in cases.enumerated() {
                let client = try await installation.connect()
                await client.send("\(wrong.line)\r\nHost: localhost\r\n\(wrong.fields)\r\n")
                #expect(try await client.answer().status == wrong.status)
                let line = try #require(try await Self.lines(installation, number + 1).last)
                #expect(line["ResponseCode"] as? Int == wrong.status)
                #expect(line["ResponseCodeReason"] as? String == wrong.reason)
                let cause = line["ErrorCause"] as? String
                #expect(cause?.isEmpty == false && cause?.contains("(") == false, "\(cause ?? "")")
            }
        }
    }

    @Test("What a client sends cannot break or forge a line")
    func injection() async throws {
        try await Installation.run { installation in
            let key = try await installation.key()
            let client = try await installation.connect()
            let agent = #"a"},{"Method":"FORGED\u{202e}"#
            await client.send(
                installation.request(
                    key, "/score/%22,%22Forged%22:%22yes%0a", lines: "User-Agent: \(agent)é\r\n"))
            _ = try await client.answer()
            await client.send(
                installation.request(
                    key, "/score/a,'b'", lines: "User-Agent: \"}{\\\t\u{202e}é\r\n"))
            _ = await client.answers(2)
            _ = try await installation.status(key)
            let expected = client.received.value.isInputClosed ? 2 : 3
            let lines = try await Self.lines(installation, expected)
            #expect(lines.count == expected)
            #expect(lines.allSatisfy { $0["Forged"] == nil && $0["Method"] as? String != "FORGED" })
            #expect(installation.read("access.log").utf8.allSatisfy { $0 == 10 || 32...126 ~= $0 })
        }
    }

    @Test("Lines that a full disk takes are counted, told once, and so is that it goes on")
    func lost() async throws {
        try await Installation.run(starts: false) { installation in
            let log = installation.path("access.log")
            try FileManager.default.createSymbolicLink(
                atPath: log, withDestinationPath: "/dev/full")
            try await installation.start()
            let key = try await installation.key()
            for count in 1...3 {
                #expect(try await installation.status(key) == 200)
                let isCounted = try await eventually {
                    try await installation.admin("/metrics").body
                        .contains("gateway_access_log_dropped_lines_total \(count)\n")
                }
                #expect(isCounted)
            }
            let told = "access log lines are lost"
            #expect(try await installation.logged(told))
            #expect(try !installation.gateway.errors.value.contains("written again"))
            try FileManager.default.removeItem(atPath: log)
            try installation.gateway.signal(SIGHUP)
            #expect(try await installation.logged("configuration in force"))
            #expect(try await installation.status(key, "/after") == 200)
            #expect(try await installation.logged("the access log is written again"))
            let lines = try await Self.lines(installation, 1)
            #expect(lines.map { $0["Path"] as? String } == ["/after"])
            let text = try installation.gateway.errors.value
            #expect(text.components(separatedBy: told).count == 2, "\(text)")
        }
    }

    @Test("Renamed and told by SIGHUP, it goes on in a new file")
    func reopened() async throws {
        try await Installation.run { installation in
            let key = try await installation.key()
            #expect(try await installation.status(key) == 200)
            _ = try await Self.lines(installation, 1)
            #expect(installation.move("access.log", to: "old.log"))
            #expect(try await installation.status(key, "/two") == 200)
            _ = try await Self.lines(installation, 2, file: "old.log")
            try installation.gateway.signal(SIGHUP)
            #expect(
                try await eventually {
                    FileManager.default.fileExists(atPath: installation.path("access.log"))
                })
            #expect(try await installation.logged("configuration in force"))
            #expect(try await installation.status(key, "/three") == 200)
            let new = try await Self.lines(installation, 1)
            #expect(new.map { $0["Path"] as? String } == ["/three"])
            #expect(try await Self.lines(installation, 2, file: "old.log").count == 2)
        }
    }
}
