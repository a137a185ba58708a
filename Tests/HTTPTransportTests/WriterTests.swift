import HTTPTransport
import NIOCore
import Testing

@Suite("Writing")
struct WriterTests {
    private func request(_ text: String) throws -> MessageHead {
        var parser = HTTP1RequestParser(limits: HTTPLimits())
        let head = MessageHead()
        var input = ByteBuffer(string: text)
        #expect(try parser.parse(&input, into: head))
        return head
    }

    @Test("a head is written as it was but for what ends here")
    func forwarded() throws {
        let head = try self.request(
            "POST /a/../b?c HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\nConnection: foo\r\nfoo: 3\r\n"
                + "C:4 \r\nD: 5\r\nVia: 1.1 x\r\nE: \r\nContent-Length: 0\r\nF: 6\r\n\r\n")
        var output = ByteBuffer()
        output.write(atMost: 1024) { HTTP1Writer.appendRequestLine(head, to: &$0) }
        output.write(atMost: 1024) {
            HTTP1Writer.appendFields(
                of: head, except: FieldNameSet.hopByHop.union(.spoofable), to: &$0)
        }
        output.write(atMost: 2) { HTTP1Writer.appendHeadEnd(to: &$0) }
        #expect(
            String(buffer: output)
                == "POST /b?c HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\nC: 4\r\nD: 5\r\nE: \r\nF: 6\r\n\r\n"
        )
    }

    @Test(
        "fields of all kinds survive a round trip",
        arguments: [
            "A: b\r\nC: d\r\n", "A:b\r\nC: d\r\n", "A: b\r\nC:\td\t\r\n", "", "A:\r\n",
            "Host2: x\r\nVia: y\r\nZ: w\r\n",
        ])
    func roundTrip(_ lines: String) throws {
        let head = try self.request("GET / HTTP/1.1\r\nHost: h\r\n\(lines)\r\n")
        var output = ByteBuffer(string: "GET / HTTP/1.1\r\n")
        output.write(atMost: 1024) { HTTP1Writer.appendFields(of: head, except: [.via], to: &$0) }
        output.writeString("\r\n")
        let again = try self.request(String(buffer: output))
        let kept = head.fields.filter { $0.name != .via }
        #expect(
            kept.map { [head.string($0.nameRange), head.string($0.valueRange)] }
                == again.fields.map { [again.string($0.nameRange), again.string($0.valueRange)] })
        #expect(again.fields.allSatisfy { $0.isCanonical })
    }

    @Test(
        "a stripped prefix leaves a path that begins with a slash",
        arguments: [
            ("/iris/score", 5, "/score"), ("/iris", 5, "/"), ("/iris/", 6, "/"),
            ("/a", 0, "/a"),
        ])
    func prefix(_ target: String, _ stripped: Int, _ path: String) throws {
        let head = try self.request("GET \(target)?q HTTP/1.1\r\nHost: h\r\n\r\n")
        var output = ByteBuffer()
        output.write(atMost: 1024) {
            HTTP1Writer.appendRequestLine(head, strippedPrefixBytes: stripped, to: &$0)
        }
        #expect(String(buffer: output) == "GET \(path)?q HTTP/1.1\r\n")
    }

    @Test("a head can be built")
    func built() {
        let head = MessageHead()
        let name = Array("X-Forwarded-For".utf8)
        let value = Array("10.0.0.1".utf8)
        let appended = head.append(name: name.span, value: value.span)
        let nameless = head.append(name: [UInt8]().span, value: value.span)
        #expect(appended == .xForwardedFor)
        #expect(nameless == nil)
        #expect(head.fields.map(\.name) == [.xForwardedFor])
        var output = ByteBuffer()
        output.write(atMost: 1024) { HTTP1Writer.appendFields(of: head, except: [], to: &$0) }
        #expect(String(buffer: output) == "X-Forwarded-For: 10.0.0.1\r\n")
        #expect(throws: HTTPError.malformedTarget) { try head.setTarget(Array("a".utf8).span) }
    }

    @Test(
        "status lines",
        arguments: [
            (200, "HTTP/1.1 200 OK\r\n"), (424, "HTTP/1.1 424 Failed Dependency\r\n"),
            (299, "HTTP/1.1 299 \r\n"),
        ])
    func statusLines(_ status: Int, _ line: String) {
        var output = ByteBuffer()
        output.write(atMost: 1024) { HTTP1Writer.appendStatusLine(status, to: &$0) }
        #expect(String(buffer: output) == line)
    }

    @Test(
        "numbers",
        arguments: [
            0, 1, 9, 10, 99, 100, 12_345_678, 123_456_789, 100_000_000, 1_000_000_007, Int.max,
        ])
    func numbers(_ number: Int) {
        var output = ByteBuffer()
        output.write(atMost: 1024) { $0.append(decimal: number) }
        #expect(String(buffer: output) == "\(number)")
        guard number > 0 else { return }
        output.clear()
        output.write(atMost: 1024) { HTTP1Writer.appendChunkStart(number, to: &$0) }
        #expect(String(buffer: output) == String(number, radix: 16) + "\r\n")
    }

    @Test(
        "dates",
        arguments: [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
        ])
    func dates(_ second: Int, _ text: String) {
        var date = HTTPDate()
        for _ in 0..<2 {
            var output = ByteBuffer()
            output.write(atMost: 29) { date.append(second: second, to: &$0) }
            #expect(String(buffer: output) == text)
        }
    }

    @Test(
        "names are classified in any case",
        arguments: [
            ("host", FieldName.host), ("te", .te), ("via", .via), ("date", .date),
            ("transfer-encoding", .transferEncoding), ("content-length", .contentLength),
            ("http2-settings", .http2Settings), ("proxy", .proxy), ("proxy-connection", .proxy),
            ("x-forwarded-for", .xForwardedFor), ("x-forwarded", .xForwarded),
            ("x-forwarded-host", .xForwarded), ("x-real-ip", .xRealIP), ("x-client-ip", .xClient),
            ("x-ssl-cert", .xSSL), ("x-original-url", .xOriginal), ("x-rewrite-url", .xRewrite),
            ("x-http-method", .xHTTPMethod), ("x-http-method-override", .xHTTPMethod),
            ("x-scoregate-endpoint", .xScoregate), ("x-ms-request-id", .xMSRequestID),
            ("x-ms-client-request-id", .xMSClientRequestID), ("x-request-id", .xRequestID),
            ("azureml-model-deployment", .azuremlModelDeployment),
            ("ms-azureml-model-error-reason", .msAzureml), ("keep-alive", .keepAlive),
            ("strict-transport-security", .strictTransportSecurity), ("set-cookie", .setCookie),
            ("hostx", .other), ("x", .other), ("hos", .other), ("x-request-ie", .other),
            ("azureml-model-session", .other), ("content-lengthy", .other), ("~", .other),
            ("authorization", .authorization), ("accept", .accept), ("expect", .expect),
            ("accept-encoding", .acceptEncoding), ("traceparent", .traceparent),
            ("retry-after", .retryAfter), ("location", .location), ("server", .server),
            ("user-agent", .userAgent), ("trailer", .trailer), ("upgrade", .upgrade),
            ("forwarded", .forwarded), ("cookie", .cookie), ("connection", .connection),
            ("content-type", .contentType), ("content-encoding", .contentEncoding),
            ("cache-control", .cacheControl),
        ])
    func names(_ text: String, _ name: FieldName) {
        for form in [text, text.uppercased(), text.capitalized(), text + ": x, more bytes"] {
            let bytes = Array(form.utf8)
            #expect(
                FieldName.classify(bytes.span, start: 0, length: text.utf8.count) == name)
        }
    }
}

extension String {
    fileprivate func capitalized() -> String { prefix(1).uppercased() + dropFirst() }
}
