internal import ControlServer
internal import Foundation
internal import State

/// The bodies of Azure Key Vault's REST API for keys and secrets, and how they are read and written.
enum VaultJSON {
    /// An answer with `body`.
    static func answer(_ status: Int, _ body: some Encodable) -> ControlAnswer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Nothing that is encoded here can fail: texts, whole numbers and truth values.
        let bytes = (try? encoder.encode(body)) ?? Data()
        return ControlAnswer(
            status: status, contentType: "application/json; charset=utf-8",
            body: .bytes([UInt8](bytes)))
    }

    /// What the body of a request says.
    static func read<Body: Decodable>(
        _ type: Body.Type, _ bytes: [UInt8]
    ) throws(VaultError) -> Body {
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            // Not the error itself: it shows what stood there.
            throw .badParameter("The body is not the JSON object that this operation takes.")
        }
    }
}

/// What may be said of a version when it is made or changed.
struct AttributesBody: Decodable {
    var enabled: Bool?
    var nbf: Int64?
    var exp: Int64?
    var exportable: Bool?

    /// Takes over into `version` what is said.
    func apply(to version: inout VaultVersion) throws(VaultError) {
        if self.exportable == true { throw .badParameter("No key leaves this vault.") }
        if let enabled { version.isEnabled = enabled }
        if let nbf { version.notBeforeMilliseconds = try Self.milliseconds(nbf) }
        if let exp { version.expiresMilliseconds = try Self.milliseconds(exp) }
        if let start = version.notBeforeMilliseconds, let end = version.expiresMilliseconds,
            start >= end
        {
            throw .badParameter("nbf must be before exp.")
        }
    }

    /// Up to the year 9999.
    private static func milliseconds(_ seconds: Int64) throws(VaultError) -> Int64 {
        guard 0...253_402_300_799 ~= seconds else {
            throw .badParameter("nbf and exp are seconds since 1970.")
        }
        return seconds * 1000
    }
}

/// What is known of a version.
struct AttributesAnswer: Encodable {
    let enabled: Bool
    let nbf: Int64?
    let exp: Int64?
    let created: Int64
    let updated: Int64
    let recoveryLevel = "Recoverable+Purgeable"
    let recoverableDays = VaultTimes.recoverableDays
    /// Not of Azure's: what protects it.
    let protection: String
    /// Not of Azure's: counts the changes; the ETag as well.
    let revision: Int64

    init(_ version: VaultVersion) {
        self.enabled = version.isEnabled
        self.nbf = version.notBeforeMilliseconds.map { $0 / 1000 }
        self.exp = version.expiresMilliseconds.map { $0 / 1000 }
        self.created = version.createdMilliseconds / 1000
        self.updated = version.updatedMilliseconds / 1000
        self.protection = version.protection.rawValue
        self.revision = version.revision
    }
}

/// One page of a list.
struct ListAnswer: Encodable {
    let value: [ItemBody]
    let nextLink: String?
}

/// The times of the vault.
enum VaultTimes {
    /// How long what was deleted can be recovered.
    static let recoverableDays = 90
    static let recoverableMilliseconds = Int64(recoverableDays) * 86_400_000
}

/// Texts by name that a request brings, as Azure bounds them.
enum VaultTags {
    /// `tags`, if there are not too many and none is too long.
    static func checked(_ tags: [String: String]) throws(VaultError) -> [String: String] {
        guard tags.count <= 15,
            tags.allSatisfy({ $0.key.utf8.count <= 256 && $0.value.utf8.count <= 256 })
        else { throw .badParameter("At most 15 tags, names and values of at most 256 bytes.") }
        return tags
    }
}
