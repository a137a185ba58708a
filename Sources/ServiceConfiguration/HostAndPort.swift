/// Splits `HOST:PORT`.
package enum HostAndPort {
    /// The host, brackets of IPv6 included, and the port.
    ///
    /// - Parameters:
    ///   - text: What is split.
    ///   - defaultPort: The port if none is given; nil if it must be.
    /// - Returns: nil if the port is missing or not a number up to 65535.
    package static func split(_ text: String, defaultPort: Int?) -> (host: String, port: Int)? {
        let end: String.Index
        if text.hasPrefix("[") {
            guard let bracket = text.firstIndex(of: "]") else { return nil }
            end = text.index(after: bracket)
        } else {
            end = text.firstIndex(of: ":") ?? text.endIndex
        }
        let rest = text[end...]
        guard !rest.isEmpty else { return defaultPort.map { (String(text[..<end]), $0) } }
        let digits = rest.dropFirst()
        guard rest.first == ":", (1...5).contains(digits.utf8.count),
            digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            let port = Int(digits), port <= 65_535
        else { return nil }
        return (String(text[..<end]), port)
    }
}
