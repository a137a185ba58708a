/// Finds environment variables that carry secrets.
///
/// The environment of a process is shown by /proc, inherited by children and written into crash
/// reports; secrets belong into files of mode 0600.
package enum SecretEnvironment {
    /// Why starting is refused, a sentence for each variable: those of this program that carry a
    /// secret, and the one that asks for the keys of TLS sessions.
    package static func refusals(in environment: [String: String]) -> [String] {
        var refusals = self.suspicious(environment).filter { $0.hasPrefix(self.ownPrefix) }.map {
            "environment variable \($0) carries a secret: put it into a file of mode 0600"
        }
        if environment[self.keyLog]?.isEmpty == false {
            refusals.append(
                "environment variable \(self.keyLog) asks for the keys of TLS sessions in a file; "
                    + "scoregate never writes them: unset it")
        }
        return refusals
    }

    /// Other variables that look as if they carried one, by name, sorted: worth a warning.
    package static func doubtful(in environment: [String: String]) -> [String] {
        self.suspicious(environment).filter { !$0.hasPrefix(self.ownPrefix) }
    }

    private static func suspicious(_ environment: [String: String]) -> [String] {
        environment.filter { name, value in
            guard !value.isEmpty else { return false }
            if value.contains("sgk1p_") || value.contains("sgk1s_") { return true }
            let words = name.uppercased().split(separator: "_")
            guard let last = words.last, !self.wordsOfPlaces.contains(String(last)) else {
                return false
            }
            return words.contains { word in
                self.wordsOfSecrets.contains { word == $0 || word == "\($0)S" }
                    || word.contains("PASSW")
            }
        }.keys.sorted()
    }

    private static let ownPrefix = "SCOREGATE_"
    /// What curl, browsers and OpenSSL's own commands heed (NSS key log format).
    private static let keyLog = "SSLKEYLOGFILE"
    private static let wordsOfSecrets = [
        "KEY", "SECRET", "TOKEN", "PASS", "PASSPHRASE", "PIN", "CREDENTIAL", "APIKEY",
    ]
    /// A variable whose name ends so says where a secret lies, not what it is.
    private static let wordsOfPlaces = ["FILE", "PATH", "DIR", "DIRECTORY", "ID", "SOCK"]
}
