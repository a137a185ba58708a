/// An address to listen on.
package enum ListenAddress: Sendable, Hashable, CustomStringConvertible {
    /// A TCP address. `[::]` is meant to be dual stack.
    case ip(IPAddress, port: Int)
    /// A Unix socket by absolute path.
    case unix(path: String)

    /// As it is written in the configuration: `1.2.3.4:5`, `[::1]:5`, `unix:/path`.
    package var description: String {
        switch self {
        case .ip(let address, let port):
            address.isIPv4 ? "\(address):\(port)" : "[\(address)]:\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }
}
