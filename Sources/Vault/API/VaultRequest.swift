internal import ControlServer
internal import Cryptography
internal import State

/// A request that was let in: who asks for what, with the parameters read.
struct VaultRequest: Sendable {
    let control: ControlRequest
    let identity: SPIFFEID
    let kind: VaultVersion.Kind
    let right: VaultRight
    let now: Int64
    private let serial: String

    init(
        _ control: ControlRequest, _ peer: ControlPeer, _ kind: VaultVersion.Kind,
        _ right: VaultRight, now: Int64
    ) {
        self.control = control
        self.identity = peer.identity
        self.serial = peer.certificate.serial
        self.kind = kind
        self.right = right
        self.now = now
    }

    /// The name in the path; empty where the path has none.
    var name: String { self.control.parameters["name"] ?? "" }

    /// The version in the path; nil where the path has none.
    var version: String? { self.control.parameters["version"] }

    /// What goes into the audit, with the version it turned out to be.
    func use(_ version: String? = nil) -> VaultUse {
        // What could be no name is not kept: it is as long as its sender liked.
        let parts = [self.kind.collection, self.name, version ?? self.version ?? ""].map {
            $0.isEmpty || VaultName.isValid($0) ? $0 : "?"
        }
        return VaultUse(
            actor: self.identity.text, serial: self.serial, action: self.right.rawValue,
            subject: parts.filter { !$0.isEmpty }.joined(separator: "/"))
    }

    /// What tells this request from others of the same peer, and is the same when it is sent again;
    /// nil if it says nothing of the kind.
    var requestID: String? {
        guard let id = self.control.field("x-ms-client-request-id"), 1...100 ~= id.utf8.count else {
            return nil
        }
        return "\(self.identity.text) \(self.right.rawValue) \(id)"
    }

    /// The entity tag in `If-Match`, without its quotes; nil if there is none or any will do.
    var ifMatch: String? {
        guard let tag = self.control.field("if-match"), tag != "*" else { return nil }
        return tag.filter { $0 != "\"" }
    }

    /// How many items a page has, and after which one it begins.
    func page() throws(VaultError) -> (limit: Int, after: String?) {
        var limit = Self.largestPage
        if let text = self.control.query["maxresults"] {
            guard let number = Int(text), 1...Self.largestPage ~= number else {
                throw .badParameter("maxresults is 1 to \(Self.largestPage).")
            }
            limit = number
        }
        let token = self.control.query["$skiptoken"]
        if let token, !VaultName.isValid(token) {
            throw .badParameter("The $skiptoken is none of this vault's.")
        }
        return (limit, token)
    }

    /// As Azure Key Vault's.
    private static let largestPage = 25
}
