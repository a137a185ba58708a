/// Hides in what a report repeats of the command line what may be a secret.
package enum SecretMask {
    /// The command line, with what is behind names of secrets masked.
    package static func command(_ arguments: [String]) -> String {
        var masked: [String] = []
        var isHeader = false
        for argument in arguments {
            if isHeader {
                masked.append(Self.header(argument))
            } else if argument.hasPrefix("--header=") {
                masked.append("--header=" + Self.header(String(argument.dropFirst(9))))
            } else {
                masked.append(argument.contains("://") ? Self.url(argument) : argument)
            }
            isHeader = argument == "--header" || argument == "-H"
        }
        return masked.map { Self.quoted(Self.text($0)) }.joined(separator: " ")
    }

    /// A text, such as a command or a body, in which bearer tokens and endpoint keys are masked.
    package static func text(_ text: String) -> String {
        text.replacing(#/sgk1[ps]_[A-Za-z0-9_\-]+/#, with: Self.mask)
            .replacing(#/((?i)bearer)(\s+)[A-Za-z0-9._~+\/=\-]+/#) { match in
                "\(match.1)\(match.2)\(Self.mask)"
            }
    }

    /// A URL, its query's values masked where their names are of secrets.
    package static func url(_ url: String) -> String {
        guard let mark = url.firstIndex(of: "?") else { return url }
        let query = url[url.index(after: mark)...].split(
            separator: "&", omittingEmptySubsequences: false
        ).map { pair -> String in
            guard let equals = pair.firstIndex(of: "="), Self.isSecret(pair[..<equals]) else {
                return String(pair)
            }
            return pair[...equals] + Self.mask
        }
        return url[...mark] + query.joined(separator: "&")
    }

    /// Whether a field or parameter of that name holds a secret, most likely.
    package static func isSecret(_ name: some StringProtocol) -> Bool {
        let lowered = name.lowercased()
        return Self.words.contains { lowered.contains($0) } || lowered == "sig"
    }

    private static func header(_ text: String) -> String {
        guard let colon = text.firstIndex(of: ":"), Self.isSecret(text[..<colon]) else {
            return text
        }
        return text[...colon] + " " + Self.mask
    }

    private static func quoted(_ argument: String) -> String {
        let isPlain = argument.utf8.allSatisfy { byte in
            switch byte {
            case 0x2c...0x3a, 0x40...0x5a, 0x5f, 0x61...0x7a, 0x3d, 0x25, 0x2b: true
            default: false
            }
        }
        return isPlain && !argument.isEmpty
            ? argument
            : "'"
                + argument.split(separator: "'", omittingEmptySubsequences: false)
                .joined(separator: "'\\''") + "'"
    }

    private static let words = [
        "auth", "key", "token", "secret", "password", "cookie", "signature", "credential",
    ]
    private static let mask = "***"
}
