internal import HTTPTransport
internal import NIOCore

/// What the head of a gRPC request says to a gateway (grpc.io, "gRPC over HTTP2").
struct GRPCCall {
    /// The request's content type, which an answer repeats: offsets into its head.
    let contentType: Range<Int>
    /// gRPC-Web, whose trailers are a part of the body.
    let isWeb: Bool
    /// When the caller has no use for an answer any more.
    private(set) var deadline = NIODeadline.distantFuture

    /// The call that `head` asks for; nil if it is not of gRPC.
    init?(_ head: MessageHead) {
        guard let field = head.index(of: .contentType) else { return nil }
        let range = head.fields[field].valueRange
        guard let isWeb = head.withBytes(range, { Self.isWeb(contentType: $0) }) else { return nil }
        self.contentType = range
        self.isWeb = isWeb
    }

    /// Reads `grpc-timeout`, which counts from `start`.
    ///
    /// - Throws: `.badRequest` where it is there and is not one, or is there twice.
    mutating func readTimeout(
        _ head: MessageHead, from start: NIODeadline
    ) throws(GatewayError) {
        var timeout: TimeAmount?
        for field in head.fields where field.name == .other && field.nameLength == 12 {
            let isTimeout = head.withBytes(field.nameRange) {
                Self.begins($0, with: "grpc-timeout")
            }
            guard isTimeout else { continue }
            guard timeout == nil,
                let read = head.withBytes(field.valueRange, { Self.timeout($0) })
            else {
                throw GatewayError(
                    kind: .badRequest(.malformedField), source: .downstream, cause: "grpc-timeout")
            }
            timeout = read
        }
        if let timeout { self.deadline = start + timeout }
    }

    /// Whether a content type is that of gRPC-Web; nil if it is none of gRPC's.
    static func isWeb(contentType: Span<UInt8>) -> Bool? {
        let plain: StaticString = "application/grpc"
        let web: StaticString = "application/grpc-web"
        if Self.begins(contentType, with: web) {
            return self.isEnd(contentType, web.utf8CodeUnitCount)
                || contentType[web.utf8CodeUnitCount] == UInt8(ascii: "-") ? true : nil
        }
        guard Self.begins(contentType, with: plain),
            self.isEnd(contentType, plain.utf8CodeUnitCount)
        else { return nil }
        return false
    }

    /// One to eight digits and a unit: `H`, `M`, `S`, `m`, `u` or `n`; nil for anything else.
    ///
    /// At most a year, which bounds what is added to a time.
    static func timeout(_ value: Span<UInt8>) -> TimeAmount? {
        guard 2...9 ~= value.count else { return nil }
        var number = Int64(0)
        for index in 0..<(value.count - 1) {
            guard UInt8(ascii: "0")...UInt8(ascii: "9") ~= value[index] else { return nil }
            number = number * 10 + Int64(value[index] - UInt8(ascii: "0"))
        }
        let unit: Int64
        switch value[value.count - 1] {
        case UInt8(ascii: "H"): unit = 3_600_000_000_000
        case UInt8(ascii: "M"): unit = 60_000_000_000
        case UInt8(ascii: "S"): unit = 1_000_000_000
        case UInt8(ascii: "m"): unit = 1_000_000
        case UInt8(ascii: "u"): unit = 1000
        case UInt8(ascii: "n"): unit = 1
        default: return nil
        }
        let (nanoseconds, overflow) = number.multipliedReportingOverflow(by: unit)
        return overflow ? self.year : min(.nanoseconds(nanoseconds), self.year)
    }

    /// The value of a `grpc-status` field among `head`'s; nil if there is none.
    static func status(in head: MessageHead) -> Int? {
        guard let field = head.index(ofName: "grpc-status") else { return nil }
        return head.withBytes(head.fields[field].valueRange) { value in
            guard 1...3 ~= value.count else { return nil }
            var status = 0
            for index in value.indices {
                guard UInt8(ascii: "0")...UInt8(ascii: "9") ~= value[index] else { return nil }
                status = status * 10 + Int(value[index] - UInt8(ascii: "0"))
            }
            return status
        }
    }

    private static let year = TimeAmount.hours(8760)

    /// Whether the media type's name may end at `index`: what follows is a format or a parameter.
    private static func isEnd(_ value: Span<UInt8>, _ index: Int) -> Bool {
        guard index < value.count else { return true }
        switch value[index] {
        case UInt8(ascii: "+"), UInt8(ascii: ";"), UInt8(ascii: " "): return true
        default: return false
        }
    }

    /// `prefix` is of lower-case letters, `/` and `-`.
    private static func begins(_ value: Span<UInt8>, with prefix: StaticString) -> Bool {
        let length = prefix.utf8CodeUnitCount
        return value.count >= length && value.isName(prefix, start: 0, length: length)
    }
}
