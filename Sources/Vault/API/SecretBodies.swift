/// A secret's value, and what is said of it.
struct SecretSetBody: Decodable {
    var value: String
    var contentType: String?
    var attributes: AttributesBody?
    var tags: [String: String]?
}

/// What is to change of a secret: never its value.
struct SecretUpdateBody: Decodable {
    /// Nobody who sends one means to keep the present one.
    var value: String?
    var contentType: String?
    var attributes: AttributesBody?
    var tags: [String: String]?
}
