extension RefusedRequest {
    /// Field lines.
    package static let fields: [RefusedRequest] = [
        RefusedRequest(86, "GET / HTTP/1.1\r\n\r\n"),
        RefusedRequest(86, "GET / HTTP/1.1\r\nX-Host: h\r\nAUTH\r\n\r\n"),
        .fields(87, "Host: h"), .fields(87, "hOsT: other"),
        RefusedRequest(88, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        RefusedRequest(88, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        RefusedRequest(88, "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n"),
        RefusedRequest(88, "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n"),
        RefusedRequest(88, "GET / HTTP/1.1\r\nHost: h,i\r\n\r\n"),
        RefusedRequest(88, "GET / HTTP/1.1\r\nHost: h:\r\n\r\n"),
        RefusedRequest(88, "GET / HTTP/1.1\r\nHost: h:x\r\n\r\n"),
        RefusedRequest(88, "GET / HTTP/1.1\r\nHost: h:65536\r\n\r\n"),
        RefusedRequest(88, "GET / HTTP/1.1\r\nHost: h:443:1\r\n\r\n"),
        RefusedRequest(88, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
        RefusedRequest(88, "GET / HTTP/1.1\r\nHost: []\r\n\r\n"),
        RefusedRequest(88, "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"),
        RefusedRequest(88, "GET / HTTP/1.1\r\nHost: h\u{e9}\r\n\r\n"),
        .fields(91, ": x"), .fields(91, "na me: x"), .fields(91, "na\tme: x"),
        .fields(91, "\u{e9}: x"), .fields(91, "no colon"), .fields(91, "name"),
        .fields(91, "a(b: x"), .fields(91, "a@b: x"), .fields(91, "\"a\": x"),
        .fields(92, "a: b\0c"), .fields(92, "a: b\u{1}"), .fields(92, "a: b\u{1f}"),
        .fields(92, "a: b\u{7f}"), .fields(92, "a: b\rc"), .fields(92, "a: b\nc: d"),
        .fields(98, "Connection: host"), .fields(98, "Connection: close, Content-Length"),
        .fields(98, "Connection: transfer-encoding"), .fields(98, "Connection: AUTHORIZATION"),
        .fields(98, "Connection: x-scoregate-identity"), .fields(98, "Connection: a b"),
        .fields(98, "Connection: \"close\""),
        .fields(98, "Connection: \(String(repeating: "a,", count: 33))"),
        .fields(102, "X_GW_Endpoint: x"), .fields(102, "_: x"),
        .fields(104, "Content-Type: a/b\r\nContent-Type: a/b"),
    ]

    /// Heads over a limit.
    package static let limits: [RefusedRequest] = [
        .target(77, "/" + String(repeating: "a", count: 8192), 414),
        RefusedRequest(77, "GET /" + String(repeating: "a", count: 8300), 414),
        .fields(94, "a: " + String(repeating: "b", count: 17 * 1024), 431),
        .fields(
            94,
            (0..<5).map { "a\($0): " + String(repeating: "b", count: 13 * 1024) }
                .joined(separator: "\r\n"), 431),
        .fields(94, (0..<100).map { "a\($0): b" }.joined(separator: "\r\n"), 431),
        RefusedRequest(
            94,
            "GET / HTTP/1.1\r\nHost: h\r\nAUTH\r\na: " + String(repeating: "b", count: 17 * 1024),
            431),
        RefusedRequest(
            94, "GET / HTTP/1.1\r\nHost: h\r\nAUTH\r\n" + String(repeating: "a", count: 17 * 1024),
            431),
        .fields(106, "Authorization: Bearer " + String(repeating: "b", count: 20 * 1024), 431),
    ]
}
