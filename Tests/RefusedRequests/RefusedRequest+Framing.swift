extension RefusedRequest {
    /// How the body is framed, told in a way that two readers may take differently.
    package static let framing: [RefusedRequest] = [
        .fields(1, "Content-Length: 6\r\nTransfer-Encoding: chunked", body: "0\r\n\r\nG"),
        .fields(
            2, "Transfer-Encoding: chunked\r\nContent-Length: 4", body: "5c\r\nGPOST / HTTP/1.1"),
        .fields(4, "Transfer-Encoding: xchunked", 501),
        .fields(4, "Transfer-Encoding: gzip, chunked", 501),
        .fields(4, "Transfer-Encoding: identity", 501),
        .fields(6, "Transfer-Encoding: chunked, identity"),
        .fields(7, "Transfer-Encoding: chunked, chunked"),
        .fields(7, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        .fields(7, "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        .fields(9, "Transfer-Encoding: \u{0b}chunked"),
        .fields(11, "Transfer-Encoding: chunked\0"),
        .fields(12, "Transfer-Encoding : chunked"),
        .fields(12, "Transfer-Encoding\t: chunked"),
        RefusedRequest(14, "POST / HTTP/1.1\r\n Host: h\r\nAUTH\r\nHost: h\r\nAUTH\r\n\r\n"),
        .fields(14, "a: b\r\n folded"),
        .fields(14, "Transfer-Encoding:\r\n chunked"),
        .fields(16, "Transfer-Encoding:"),
        .fields(16, "Transfer-Encoding: ,"),
        .fields(16, "Transfer-Encoding: chunked,"),
        .fields(17, "Transfer-Encoding: chunked;q=1"),
        .fields(17, "Transfer-Encoding: \"chunked\""),
        RefusedRequest(
            19, "POST / HTTP/1.0\r\nHost: h\r\nAUTH\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        .fields(22, "Content-Length: 5\r\nContent-Length: 6", body: "hello"),
        .fields(22, "Content-Length: 5\r\nContent-Length: 5", body: "hello"),
        .fields(24, "Content-Length: 5, 5", body: "hello"),
        .fields(26, "Content-Length: -1"),
        .fields(26, "Content-Length: -0"),
        .fields(26, "Content-Length: +5", body: "hello"),
        .fields(27, "Content-Length: 0x5", body: "hello"),
        .fields(27, "Content-Length: 0o5", body: "hello"),
        .fields(27, "Content-Length: 5e0", body: "hello"),
        .fields(29, "Content-Length: 5 0", body: "hello"),
        .fields(29, "Content-Length:"),
        .fields(31, "Content-Length: 9223372036854775808"),
        .fields(31, "Content-Length: 18446744073709551621", body: "hello"),
        .fields(32, "Content-Length: 005", body: "hello"),
        .fields(32, "Content-Length: 00"),
        .fields(34, "Content-Length: 10737418240", 413),
        RefusedRequest(
            37,
            "GET / HTTP/1.1\r\nHost: h\r\nAUTH\r\nContent-Length: 43\r\n\r\nGET /admin HTTP/1.1\r\nX: "
        ),
        RefusedRequest(
            37, "GET / HTTP/1.1\r\nHost: h\r\nAUTH\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        RefusedRequest(37, "HEAD / HTTP/1.1\r\nHost: h\r\nAUTH\r\nContent-Length: 1\r\n\r\na"),
        .fields(41, "Expect: 200-ok\r\nContent-Length: 1", 417),
        .fields(41, "Expect: 100-continue, x\r\nContent-Length: 1", 417),
    ]
}
