package import HTTPTransport
internal import NIOCore

/// What is asked: a URL, and where it really leads.
package struct LoadTarget: Sendable, Equatable {
    /// As given.
    package var url: String
    /// Whether TLS comes first.
    package var isEncrypted: Bool
    /// The name the server must prove.
    package var host: String
    /// Of the URL, or 443 and 80.
    package var port: Int
    /// Path and query; never empty.
    package var path: String
    /// Where connections go.
    package var address: ConnectionPool.Address

    /// Reads a URL.
    ///
    /// - Parameters:
    ///   - url: `https://HOST[:PORT][/PATH]` or `http://…`.
    ///   - connectTo: `HOST:PORT` to connect to instead, or `unix:PATH`; nil for the URL's own.
    /// - Throws: `.usage` with what is wrong.
    package init(_ url: String, connectTo: String? = nil) throws(LoadError) {
        self.url = url
        let rest: Substring
        if url.hasPrefix("https://") {
            self.isEncrypted = true
            rest = url.dropFirst(8)
        } else if url.hasPrefix("http://") {
            self.isEncrypted = false
            rest = url.dropFirst(7)
        } else {
            throw .usage("\(url): a URL begins with https:// or http://")
        }
        guard url.utf8.allSatisfy({ (0x21...0x7e).contains($0) }), !url.contains("#") else {
            throw .usage(
                "\(url): white space, \"#\" and letters other than ASCII are to be escaped")
        }
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        let path = rest.dropFirst(authority.count)
        self.path = path.hasPrefix("/") ? String(path) : "/" + path
        guard !authority.contains("@") else {
            throw .usage("a URL with a user name: keys are given by --key-file")
        }
        let place = try Self.place(
            authority, in: url, defaultPort: self.isEncrypted ? 443 : 80)
        (self.host, self.port) = place
        self.address = .host(place.host, port: place.port)
        guard let connectTo else { return }
        if connectTo.hasPrefix("unix:") {
            let path = String(connectTo.dropFirst(5))
            guard (1...107).contains(path.utf8.count) else {
                throw .usage(
                    "--connect-to \(connectTo): a path of a Unix socket has 1 to 107 bytes")
            }
            self.address = .unix(path: path)
        } else {
            let other = try Self.place(
                connectTo[...], in: "--connect-to \(connectTo)", defaultPort: nil)
            self.address = .host(other.host, port: other.port)
        }
    }

    /// The value of Host.
    package var authority: String {
        let host = self.host.contains(":") ? "[\(self.host)]" : self.host
        return self.port == (self.isEncrypted ? 443 : 80) ? host : "\(host):\(self.port)"
    }

    /// Whether what is sent stays on this machine.
    var isLocal: Bool {
        switch self.address {
        case .host("localhost", _), .host("::1", _), .unix: true
        // Names may begin like that too.
        case .host(let host, let port):
            host.hasPrefix("127.") && (try? SocketAddress(ipAddress: host, port: port)) != nil
        }
    }

    /// Where connections go, for people.
    package var place: String {
        switch self.address {
        case .host(let host, let port): "\(host.contains(":") ? "[\(host)]" : host):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }

    private static func place(
        _ text: Substring, in whole: String, defaultPort: Int?
    ) throws(LoadError) -> (host: String, port: Int) {
        var host = text
        var port = defaultPort
        let colon = text.lastIndex(of: ":")
        if let colon, !text[colon...].contains("]") {
            host = text[..<colon]
            let digits = text[text.index(after: colon)...]
            port = digits.allSatisfy(\.isNumber) ? Int(digits) : nil
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard let port, (1...65535).contains(port) else {
            throw .usage("\(whole): \"\(text)\" is not HOST:PORT with a port of 1 to 65535")
        }
        let isName = host.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x3a, 0x5f: true
            default: false
            }
        }
        guard !host.isEmpty, host.utf8.count <= 253, isName else {
            throw .usage("\(whole): \"\(host)\" is not a host name or address")
        }
        return (host.lowercased(), port)
    }
}
