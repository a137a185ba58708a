internal import State

/// A secret's value, and what is said of it.
struct SecretSetBody: Decodable {
    var value: String
    var contentType: String?
    var attributes: AttributesBody?
    var tags: [String: String]?
}

/// What is to change of a secret: never its value.
struct SecretUpdateBody: Decodable {
    var contentType: String?
    var attributes: AttributesBody?
    var tags: [String: String]?
}

/// A version of a secret, or a secret in a list.
struct SecretAnswer: Encodable {
    let value: String?
    let id: String
    let contentType: String?
    let attributes: AttributesAnswer
    let tags: [String: String]
    let recoveryId: String?
    let deletedDate: Int64?
    let scheduledPurgeDate: Int64?

    /// With the secret itself, or nil where it is not asked for; it stands for one version, or for the
    /// name.
    init(_ version: VaultVersion, _ baseURL: String, value: String? = nil, hasVersion: Bool) {
        self.value = value
        self.id = hasVersion ? version.id(baseURL) : version.nameID(baseURL)
        self.contentType = version.contentType
        self.attributes = AttributesAnswer(version)
        self.tags = version.tags
        let deletion = DeletionAnswer(version, baseURL)
        self.recoveryId = deletion?.recoveryId
        self.deletedDate = deletion?.deletedDate
        self.scheduledPurgeDate = deletion?.scheduledPurgeDate
    }
}
