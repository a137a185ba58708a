internal import State

/// A key or secret, one of its versions, or one in a list.
struct ItemBody: Encodable {
    /// Of a version of a key; nil in lists.
    var key: KeyBody?
    /// Of a key in a list.
    var kid: String?
    /// Of a secret.
    var id: String?
    /// The secret itself; nil where it is not asked for.
    var value: String?
    let contentType: String?
    let attributes: AttributesAnswer
    let tags: [String: String]
    /// Where it can be recovered, if it was deleted, and when that was and when it goes for good.
    let recoveryId: String?
    let deletedDate: Int64?
    let scheduledPurgeDate: Int64?

    /// A version by itself.
    init(_ version: VaultVersion, _ baseURL: String, value: String? = nil) {
        self.init(of: version, baseURL)
        switch version.kind {
        case .key: self.key = KeyBody(version, baseURL)
        case .secret:
            self.id = version.id(baseURL)
            self.value = value
        }
    }

    /// One in a list, which stands for a version or for a name.
    init(listed version: VaultVersion, _ baseURL: String, hasVersion: Bool) {
        self.init(of: version, baseURL)
        let id = hasVersion ? version.id(baseURL) : version.nameID(baseURL)
        switch version.kind {
        case .key: self.kid = id
        case .secret: self.id = id
        }
    }

    private init(of version: VaultVersion, _ baseURL: String) {
        self.contentType = version.contentType
        self.attributes = AttributesAnswer(version)
        self.tags = version.tags
        let isDeleted = version.deletedMilliseconds != nil
        self.recoveryId =
            isDeleted ? "\(baseURL)/deleted\(version.kind.collection)/\(version.name)" : nil
        self.deletedDate = version.deletedMilliseconds.map { $0 / 1000 }
        self.scheduledPurgeDate = version.purgeMilliseconds.map { $0 / 1000 }
    }
}

extension VaultVersion {
    /// The id of the key or secret.
    func nameID(_ baseURL: String) -> String { "\(baseURL)/\(self.kind.collection)/\(self.name)" }

    /// The id of the version.
    func id(_ baseURL: String) -> String { "\(self.nameID(baseURL))/\(self.version)" }
}
