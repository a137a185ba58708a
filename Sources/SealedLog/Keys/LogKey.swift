package import Cryptography

/// A log key: 32 random bytes of which the keys of a stream's segments are made, step by step.
///
/// Step n + 1 is HKDF-Expand(step n, "sgl1 step", 32). Whoever has one step has all that follow and
/// none before it: a writer keeps the present one only. Wrapped are 64 bytes: the key at step 0, and
/// SHA-256("sgl1 wrap" ‖ 00 ‖ stream id ‖ log key id ‖ created), so that a key that was wrapped for
/// one entry of the key ring is refused in another.
package struct LogKey: ~Copyable, Sendable {
    /// Random; names it in segments and in the key ring.
    package let id: LogIdentifier
    /// The stream it is for.
    package let streamID: LogIdentifier
    /// When it was made, as the key ring has it (RFC 3339).
    package let created: String
    /// How many steps it was taken on.
    package private(set) var step: UInt32

    private var secret: SecretBytes

    /// How many bytes are wrapped.
    package static let wrapInputBytes = 64
    private static let secretBytes = 32
    private static let stepInformation = Array("sgl1 step".utf8)
    private static let wrapLabel = Array("sgl1 wrap".utf8) + [0]

    /// Makes a new key for a stream.
    package static func make(
        streamID: LogIdentifier, createdMilliseconds: UInt64
    ) throws(SealedLogError) -> LogKey {
        LogKey(
            id: try .random(), streamID: streamID,
            created: UTCTime.text(milliseconds: createdMilliseconds),
            secret: try withCryptography { () throws(CryptographyError) in
                try SystemRandom.secret(count: Self.secretBytes)
            })
    }

    /// Takes a key at step 0.
    init(
        id: LogIdentifier, streamID: LogIdentifier, created: String, secret: consuming SecretBytes
    ) {
        self.id = id
        self.streamID = streamID
        self.created = created
        self.step = 0
        self.secret = secret
    }

    /// Takes the key out of the 64 bytes that `entry` holds wrapped.
    ///
    /// - Throws: `.keyRing` with `.foreign` if they were wrapped for another entry.
    package init(
        unwrapped: borrowing SecretBytes, of entry: KeyRingEntry
    ) throws(SealedLogError) {
        let binding = try Self.binding(entry.logKeyID, entry.streamID, entry.created)
        guard unwrapped.count == Self.wrapInputBytes,
            ConstantTime.equal(
                unwrapped.bytes.extracting(droppingFirst: Self.secretBytes), binding.rawSpan)
        else { throw .keyRing(path: entry.fileName, .foreign) }
        let secret: SecretBytes
        do throws(CryptographyError) {
            secret = try SecretBytes(
                copying: unwrapped.bytes.extracting(first: Self.secretBytes))
        } catch {
            throw .cryptography(error)
        }
        self.init(
            id: entry.logKeyID, streamID: entry.streamID, created: entry.created, secret: secret)
    }

    /// The 64 bytes to wrap.
    ///
    /// Only a key at step 0 has them.
    package func wrapInput() throws(SealedLogError) -> SecretBytes {
        precondition(self.step == 0, "a log key is wrapped before its first step")
        let binding = try Self.binding(self.id, self.streamID, self.created)
        let secret = self.secret.bytes
        do throws(CryptographyError) {
            return try SecretBytes(count: Self.wrapInputBytes) {
                (output) throws(CryptographyError) in
                for index in 0..<secret.byteCount { output.append(secret[byte: index]) }
                for byte in binding { output.append(byte) }
            }
        } catch {
            throw .cryptography(error)
        }
    }

    /// Takes the key one step on; the step before is wiped.
    package mutating func advance(with hkdf: HKDF) throws(SealedLogError) {
        self = try self.advanced(by: 1, with: hkdf)
    }

    /// The key that many steps on.
    package func advanced(by steps: UInt32, with hkdf: HKDF) throws(SealedLogError) -> LogKey {
        let secret: SecretBytes
        do throws(CryptographyError) {
            secret = try hkdf.expand(
                self.secret, information: Self.stepInformation.rawSpan, times: Int(steps))
        } catch {
            throw .cryptography(error)
        }
        var key = LogKey(
            id: self.id, streamID: self.streamID, created: self.created, secret: secret)
        key.step = self.step + steps
        return key
    }

    /// Derives 32 bytes for a segment from the key at its step.
    func derive(
        salt: RawSpan, information: RawSpan, with hkdf: HKDF
    ) throws(SealedLogError) -> SecretBytes {
        do throws(CryptographyError) {
            return try hkdf.derive(
                self.secret, salt: salt, information: information, count: Self.secretBytes)
        } catch {
            throw .cryptography(error)
        }
    }

    private static func binding(
        _ id: LogIdentifier, _ streamID: LogIdentifier, _ created: String
    ) throws(SealedLogError) -> [UInt8] {
        var bytes = self.wrapLabel
        bytes.append(streamID)
        bytes.append(id)
        bytes.append(contentsOf: created.utf8)
        let digest = try withCryptography { () throws(CryptographyError) in try SHA256() }
        return digest.digest(bytes.rawSpan).bytes
    }
}
