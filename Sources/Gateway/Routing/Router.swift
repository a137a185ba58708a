internal import HTTPTransport

/// Finds the endpoint of a request by Host and path.
///
/// Immutable; all workers share it. Hosts are compared without port, case and trailing dot.
struct Router: Sendable {
    /// What a request's head leads to.
    enum Match {
        case endpoint(Endpoint, strippedPrefixBytes: Int)
        /// Host names no endpoint, or another name than the client gave in SNI.
        case misdirected
        /// Host is known, the path is not; the endpoints of that host.
        case unknownPath([Endpoint])
    }

    /// The endpoints that answer to one host, the longest prefix first.
    private final class Host: Sendable {
        let name: [UInt8]
        let entries: [Entry]

        init(name: [UInt8], entries: [Entry]) {
            self.name = name
            self.entries = entries
        }
    }

    private struct Entry: Sendable {
        /// Without the `/` at the end; empty for all paths.
        var prefix: [UInt8]
        var endpoint: Endpoint
    }

    /// By ``hash(_:)`` of the name.
    private var hosts: [UInt64: [Host]] = [:]
    /// For any host; only a sole endpoint has it.
    private var anyHost: Host?

    /// - Parameters:
    ///   - endpoints: All there are.
    ///   - isAgent: Whether a path is what the gateway before made of it.
    init(endpoints: [Endpoint], isAgent: Bool = false) {
        for endpoint in endpoints {
            let entries =
                isAgent
                ? [Entry(prefix: [], endpoint: endpoint)] : Self.entries(of: endpoint)
            if endpoint.configuration.hosts.isEmpty {
                self.anyHost = Host(
                    name: [], entries: Self.sorted((self.anyHost?.entries ?? []) + entries))
            }
            for name in endpoint.configuration.hosts {
                let bytes = Array(name.utf8)
                let hash = bytes.span.withHost { Self.hash($0) }
                var chain = self.hosts[hash] ?? []
                let former = chain.first { $0.name == bytes }?.entries ?? []
                chain.removeAll { $0.name == bytes }
                chain.append(Host(name: bytes, entries: Self.sorted(former + entries)))
                self.hosts[hash] = chain
            }
        }
    }

    /// Finds where `head` is to go.
    ///
    /// - Parameters:
    ///   - head: A request.
    ///   - serverName: What the client gave in SNI, in lower case; Host must be the same.
    ///   - mayCarry: Whether the connection may carry this other host too.
    /// - Returns: The endpoint, or how far the request is known.
    func route(
        _ head: MessageHead, serverName: [UInt8]?,
        mayCarry: (_ host: Span<UInt8>) -> Bool = { _ in false }
    ) -> Match {
        guard let field = head.index(of: .host) else {
            // HTTP/1.0 without Host.
            guard serverName == nil, let host = self.anyHost else { return .misdirected }
            return Self.match(head, host)
        }
        let host: Host? = head.withBytes(head.fields[field].valueRange) { value in
            value.withHost { name in
                if let serverName, !name.isLowercaseEqual(to: serverName), !mayCarry(name) {
                    return nil
                }
                let known = self.hosts[Self.hash(name)]?.first {
                    name.isLowercaseEqual(to: $0.name)
                }
                return known ?? self.anyHost
            }
        }
        guard let host else { return .misdirected }
        return Self.match(head, host)
    }

    private static func match(_ head: MessageHead, _ host: Host) -> Match {
        head.withBytes(head.pathRange) { path in
            // By index: a loop would retain the entries one by one.
            for index in host.entries.indices {
                guard let count = path.lengthOfPathPrefix(host.entries[index].prefix) else {
                    continue
                }
                return .endpoint(host.entries[index].endpoint, strippedPrefixBytes: count)
            }
            return .unknownPath(host.entries.map(\.endpoint))
        }
    }

    /// The endpoint's own prefix, and the form of Azure's first version under which it is also known.
    private static func entries(of endpoint: Endpoint) -> [Entry] {
        let configuration = endpoint.configuration
        return [
            Entry(prefix: Array((configuration.pathPrefix ?? "").utf8), endpoint: endpoint),
            Entry(prefix: Array("/api/v1/service/\(configuration.name)".utf8), endpoint: endpoint),
        ]
    }

    private static func sorted(_ entries: [Entry]) -> [Entry] {
        entries.sorted { $0.prefix.count > $1.prefix.count }
    }

    /// FNV-1a over the lower-case bytes.
    ///
    /// Names come from the configuration, so nobody can choose
    /// them to collide.
    private static func hash(_ name: Span<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for index in name.indices {
            hash = (hash ^ UInt64(name[index].lowercased)) &* 0x100_0000_01b3
        }
        return hash
    }
}

extension Span<UInt8> {
    /// Gives `body` the host of a Host field: without port and trailing dot.
    func withHost<Result>(_ body: (Span<UInt8>) -> Result) -> Result {
        var end = self.count
        if end > 0, self[0] == UInt8(ascii: "[") {
            for index in self.indices where self[index] == UInt8(ascii: "]") { end = index + 1 }
        } else {
            for index in self.indices where self[index] == UInt8(ascii: ":") {
                end = index
                break
            }
        }
        if end > 1, self[end - 1] == UInt8(ascii: ".") { end -= 1 }
        return body(self.extracting(0..<end))
    }

    /// These bytes of ASCII in lower case.
    var lowercasedText: String {
        var text = ""
        for index in self.indices {
            text.unicodeScalars.append(Unicode.Scalar(self[index].lowercased))
        }
        return text
    }

    func isLowercaseEqual(to name: [UInt8]) -> Bool {
        guard self.count == name.count else { return false }
        for index in self.indices where self[index].lowercased != name[index] { return false }
        return true
    }
}

extension UInt8 {
    fileprivate var lowercased: UInt8 {
        self >= 0x41 && self <= 0x5a ? self | 0x20 : self
    }
}
