internal import Cryptography
internal import Dispatch
internal import KeyVault
internal import SealedLog
internal import ServiceConfiguration
internal import Synchronization

// How commands get at log keys.
extension LogArchive {
    /// The wrapping key of an endpoint, as this reader's configuration has it.
    ///
    /// An endpoint that is not in it, and the stream of accesses, have a key in the embedded vault or none.
    func wrappingKey(of endpoint: String) throws(KeyVaultError) -> EndpointWrappingKey {
        guard let configuration = self.endpoints[endpoint] else {
            return EndpointWrappingKey(self.wrappingKeys.embedded, endpoint)
        }
        return try self.wrappingKeys.key(of: configuration)
    }

    /// The log keys of a stream, unwrapped as they are asked for.
    func keys(of stream: Stream) -> LogKeyCache {
        let keyRing = KeyRing(log: stream.log, self.files)
        self.failure = nil
        return LogKeyCache { [unowned self] (id) throws(SealedLogError) -> LogKey in
            let entry = try keyRing.entry(id)
            guard let endpoint = stream.endpoint else {
                throw .keyRing(path: entry.fileName, .foreign)
            }
            let unwrapped: UnwrappedSecret
            do throws(KeyVaultError) {
                unwrapped = try Self.waiting(self.wrappingKey(of: endpoint), entry)
            } catch {
                switch error {
                case .foreignKey, .notAuthentic:
                    throw .keyRing(path: entry.fileName, .foreign)
                default:
                    // Of the key or its vault, not of the log: nothing more can be read.
                    self.failure = error
                    throw .revoked
                }
            }
            return try LogKey(unwrapped: unwrapped.secret, of: entry)
        }
    }

    /// Why nothing of a stream can be read, for whoever asked.
    func refusal(of stream: Stream) -> StartError {
        let endpoint = stream.endpoint ?? "of this stream"
        let customerKey = self.endpoints[endpoint]?.encryption.customerKey
        guard let customerKey else {
            return .refused(
                """
                the wrapping key of endpoint \(endpoint) is disabled or destroyed: nothing of its \
                log can be read (scoregate keys wrapping list \(endpoint))
                """)
        }
        let name = "\(customerKey.vault.address)/keys/\(customerKey.name)"
        switch self.failure {
        case .revoked(.forbidden):
            return .refused(
                """
                this identity may not unwrap under the wrapping key of endpoint \(endpoint), \(name): its \
                holder has to give it the rights get and unwrapKey
                """)
        case .revoked(let state):
            return .refused(
                """
                the wrapping key of endpoint \(endpoint), \(name), is \(state.rawValue): nothing of its log \
                can be read until its holder lets it be used again
                """)
        case let failure?:
            return .environment("the log of endpoint \(endpoint) cannot be read: \(failure)")
        case nil:
            return .refused("the wrapping key of endpoint \(endpoint), \(name), cannot be used")
        }
    }

    /// How to read what of a stream is under a customer's key that this configuration does not name, as after
    /// an endpoint went from one to another, or to the embedded vault; nil where there is nothing of it.
    package func foreignKeyAdvice(of stream: Stream) -> String? {
        guard let endpoint = stream.endpoint else { return nil }
        let named = self.endpoints[endpoint]?.encryption.customerKey.map {
            "\($0.vault.address)/keys/\($0.name)"
        }
        let keyRing = KeyRing(log: stream.log, self.files)
        var foreign: Set<String> = []
        for id in (try? keyRing.ids()) ?? [] {
            guard let entry = try? keyRing.entry(id), entry.streamID == stream.id,
                entry.provider == AzureKeyVault.providerName,
                let end = entry.wrappingKey.lastIndex(of: "/")
            else { continue }
            foreign.insert(String(entry.wrappingKey[..<end]))
        }
        if let named { foreign.remove(named) }
        guard !foreign.isEmpty else { return nil }
        return """
            part of the log of endpoint \(endpoint) is under \(foreign.sorted().joined(separator: ", ")): it \
            is read with a configuration that names that key (cmk_vault_base_url, cmk_key_name)
            """
    }

    /// Waits for a vault's answer, on a command's thread.
    private static func waiting(
        _ key: EndpointWrappingKey, _ entry: KeyRingEntry
    ) throws(KeyVaultError) -> UnwrappedSecret {
        let outcome = UnwrapOutcome()
        let isThere = DispatchSemaphore(value: 0)
        Task.detached {
            let result: Result<UnwrappedSecret, KeyVaultError>
            do throws(KeyVaultError) {
                result = .success(UnwrappedSecret(try await key.unwrap(entry)))
            } catch {
                result = .failure(error)
            }
            outcome.result.withLock { $0 = result }
            isThere.signal()
        }
        isThere.wait()
        guard let result = outcome.result.withLock({ $0 }) else {
            preconditionFailure("the semaphore says that there is a result")
        }
        return try result.get()
    }
}

/// A secret that can be handed from thread to thread.
private final class UnwrappedSecret: Sendable {
    let secret: SecretBytes

    init(_ secret: consuming SecretBytes) { self.secret = secret }
}

private final class UnwrapOutcome: Sendable {
    let result = Mutex<Result<UnwrappedSecret, KeyVaultError>?>(nil)
}
