internal import COpenSSL
internal import Cryptography

/// TLS 1.3's key schedule (RFC 8446, 7.1) as a provider of OpenSSL's (provider(7), provider-kdf(7)),
/// which takes the place of the `TLS13-KDF` of its default provider in one library context.
///
/// OpenSSL 3.0 gives the traffic secrets out as text alone, which it prints byte by byte, and its own
/// schedule looks digest, HMAC and HKDF up anew for each of the two dozen keys of a handshake: together a
/// fifth of its time. Here they are derived by ``HKDF``, and the two that outlive the handshake are also
/// left with ``TrafficSecrets``.
///
/// Used on the loop of its worker, whose connections' handshakes come one after another.
@safe final class KeySchedule {
    private let sha256: HKDF
    private let sha384: HKDF
    /// Gets the traffic secrets of the handshake that is going on.
    var secrets: TrafficSecrets?

    /// Makes a schedule and has `library` use it, wherever a fetch prefers ``properties``.
    ///
    /// The library context keeps it for its own life.
    static func make(
        in library: LibraryContext, _ sha256: HKDF, _ sha384: HKDF
    ) throws(TLSError) -> KeySchedule {
        let schedule = KeySchedule(sha256, sha384)
        OpenSSLErrorQueue.clear()
        // Once a provider is loaded by name, the default one is no longer there by itself.
        guard unsafe OSSL_PROVIDER_load(library.handle, "default") != nil,
            unsafe OSSL_PROVIDER_add_builtin(library.handle, self.name, startProvider) == 1,
            let provider = unsafe OSSL_PROVIDER_load(library.handle, self.name),
            let place = unsafe OSSL_PROVIDER_get0_provider_ctx(provider)
        else { throw .ofOpenSSL("loading the key schedule") }
        unsafe place.assumingMemoryBound(to: KeySchedule?.self).pointee = schedule
        return schedule
    }

    private init(_ sha256: HKDF, _ sha384: HKDF) {
        self.sha256 = sha256
        self.sha384 = sha384
    }

    /// Derives one key of the schedule.
    ///
    /// - Returns: False for a question that RFC 8446, 7.1 does not have.
    @unsafe func derive(
        _ question: COpenSSL_schedule_question, into output: UnsafeMutableRawBufferPointer
    ) -> Bool {
        let count = unsafe question.digest_bytes
        let hkdf = count == HKDF.Digest.sha384.byteCount ? self.sha384 : self.sha256
        let secret = unsafe UnsafeRawBufferPointer(
            start: question.secret, count: question.secret_bytes)
        let label = unsafe UnsafeRawBufferPointer(
            start: question.label, count: question.label_bytes)
        if unsafe question.is_extract == 1 {
            let former = unsafe UnsafeRawBufferPointer(
                start: question.former, count: question.former_bytes)
            guard output.count == count, unsafe former.isEmpty || former.count == count else {
                return false
            }
            unsafe self.extract(hkdf, secret, former, label, into: output)
        } else {
            guard (1...count).contains(output.count), secret.count == count else { return false }
            unsafe hkdf.expandLabel(
                secret, label,
                UnsafeRawBufferPointer(start: question.data, count: question.data_bytes),
                into: output)
            unsafe self.secrets?.take(label, UnsafeRawBufferPointer(output))
        }
        return true
    }

    /// Goes from one secret of the schedule to the next: extracts from `secret`, or zeros where it is
    /// empty, with Derive-Secret(`former`, `label`, "") as salt, or none at the start.
    private func extract(
        _ hkdf: HKDF, _ secret: UnsafeRawBufferPointer, _ former: UnsafeRawBufferPointer,
        _ label: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) {
        let count = output.count
        unsafe withUnsafeTemporaryAllocation(byteCount: 2 * count, alignment: 8) { scratch in
            unsafe scratch.initializeMemory(as: UInt8.self, repeating: 0)
            let zeros = unsafe UnsafeRawBufferPointer(rebasing: scratch[..<count])
            let salt = unsafe UnsafeMutableRawBufferPointer(rebasing: scratch[count...])
            if unsafe !former.isEmpty {
                unsafe hkdf.digestOfNothing.withUnsafeBytes {
                    unsafe hkdf.expandLabel(former, label, $0, into: salt)
                }
            }
            unsafe hkdf.extract(
                secret.isEmpty ? zeros : secret, salt: UnsafeRawBufferPointer(salt), into: output)
            unsafe OPENSSL_cleanse(scratch.baseAddress, scratch.count)
        }
    }

    /// What contexts are made with, so that they fetch from here what there is.
    static let properties = "?provider=scoregate"
    private static let name = "scoregate"
}

extension HKDF {
    /// HKDF-Expand-Label (RFC 8446, 7.1).
    ///
    /// - Parameters:
    ///   - secret: As long as the digest.
    ///   - label: Without "tls13 ", of at most 249 bytes.
    ///   - context: At most 255 bytes.
    ///   - output: The caller's to wipe; may be where `secret` is.
    @unsafe func expandLabel(
        _ secret: UnsafeRawBufferPointer, _ label: UnsafeRawBufferPointer,
        _ context: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) {
        let prefix: StaticString = "tls13 "
        let labelBytes = prefix.utf8CodeUnitCount + label.count
        // offset  bytes  meaning
        //      0      2  how many bytes are asked for, big-endian
        //      2      1  bytes of the label, its prefix included
        //      3      n  the label
        //  3 + n      1  bytes of the context
        //  4 + n      m  the context
        let count = 4 + labelBytes + context.count
        unsafe withUnsafeTemporaryAllocation(byteCount: count, alignment: 1) { information in
            unsafe information[0] = UInt8(truncatingIfNeeded: output.count >> 8)
            unsafe information[1] = UInt8(truncatingIfNeeded: output.count)
            unsafe information[2] = UInt8(labelBytes)
            var rest = unsafe information[3...]
            prefix.withUTF8Buffer { unsafe Self.append(UnsafeRawBufferPointer($0), to: &rest) }
            unsafe Self.append(label, to: &rest)
            unsafe rest[rest.startIndex] = UInt8(context.count)
            unsafe rest.removeFirst()
            unsafe Self.append(context, to: &rest)
            unsafe self.expand(
                secret, information: UnsafeRawBufferPointer(information).bytes, into: output)
        }
    }

    private static func append(
        _ bytes: UnsafeRawBufferPointer, to rest: inout Slice<UnsafeMutableRawBufferPointer>
    ) {
        unsafe UnsafeMutableRawBufferPointer(rebasing: rest).copyMemory(from: bytes)
        unsafe rest.removeFirst(bytes.count)
    }
}

// MARK: - What OpenSSL calls

/// OSSL_FUNC_provider_init: gives the provider a place for its ``KeySchedule``, and says what it has.
private let startProvider:
    @convention(c) (
        OpaquePointer?, UnsafePointer<OSSL_DISPATCH>?,
        UnsafeMutablePointer<UnsafePointer<OSSL_DISPATCH>?>?,
        UnsafeMutablePointer<UnsafeMutableRawPointer?>?
    ) -> CInt = { _, _, functions, place in
        let schedule = UnsafeMutablePointer<KeySchedule?>.allocate(capacity: 1)
        unsafe schedule.initialize(to: nil)
        unsafe place?.pointee = UnsafeMutableRawPointer(schedule)
        unsafe functions?.pointee = UnsafePointer(providerFunctions)
        return 1
    }

/// OSSL_FUNC_provider_query_operation: one algorithm of one kind.
private let queryOperation:
    @convention(c) (UnsafeMutableRawPointer?, CInt, UnsafeMutablePointer<CInt>?)
        -> UnsafePointer<OSSL_ALGORITHM>? = { _, operation, isNotToBeKept in
            unsafe isNotToBeKept?.pointee = 0
            return unsafe operation == OSSL_OP_KDF ? UnsafePointer(algorithms) : nil
        }

/// OSSL_FUNC_kdf_newctx: the schedule's place, since questions come one at a time and whole.
private let newContext: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = {
    unsafe $0
}

private let freeContext: @convention(c) (UnsafeMutableRawPointer?) -> Void = { _ in }

/// OSSL_FUNC_kdf_derive.
private let deriveKey:
    @convention(c) (
        UnsafeMutableRawPointer?, UnsafeMutablePointer<UInt8>?, Int, UnsafePointer<OSSL_PARAM>?
    ) -> CInt = { place, output, count, parameters in
        var question = unsafe COpenSSL_schedule_question()
        guard let output = unsafe output,
            let schedule = unsafe place?.assumingMemoryBound(to: KeySchedule?.self).pointee,
            unsafe COpenSSL_read_schedule_question(parameters, &question) == 1
        else { return 0 }
        return unsafe schedule.derive(
            question, into: UnsafeMutableRawBufferPointer(start: output, count: count)) ? 1 : 0
    }

/// Tables that OpenSSL reads as long as the process lives; their last row is zeros.
nonisolated(unsafe) private let providerFunctions = unsafe table([
    (OSSL_FUNC_PROVIDER_QUERY_OPERATION, unsafeBitCast(queryOperation, to: AnyFunction.self))
])
nonisolated(unsafe) private let keyFunctions = unsafe table([
    (OSSL_FUNC_KDF_NEWCTX, unsafeBitCast(newContext, to: AnyFunction.self)),
    (OSSL_FUNC_KDF_FREECTX, unsafeBitCast(freeContext, to: AnyFunction.self)),
    (OSSL_FUNC_KDF_DERIVE, unsafeBitCast(deriveKey, to: AnyFunction.self)),
])
nonisolated(unsafe) private let algorithms = {
    let rows = UnsafeMutablePointer<OSSL_ALGORITHM>.allocate(capacity: 2)
    unsafe rows.initialize(repeating: OSSL_ALGORITHM(), count: 2)
    unsafe rows[0].algorithm_names = UnsafePointer(strdup("TLS13-KDF"))
    unsafe rows[0].property_definition = UnsafePointer(strdup("provider=scoregate"))
    unsafe rows[0].implementation = UnsafePointer(keyFunctions)
    return unsafe rows
}()

private typealias AnyFunction = @convention(c) () -> Void

private func table(
    _ functions: [(number: CInt, function: AnyFunction)]
) -> UnsafeMutablePointer<OSSL_DISPATCH> {
    let rows = UnsafeMutablePointer<OSSL_DISPATCH>.allocate(capacity: functions.count + 1)
    unsafe rows.initialize(repeating: OSSL_DISPATCH(), count: functions.count + 1)
    for (row, entry) in functions.enumerated() {
        unsafe rows[row].function_id = entry.number
        unsafe rows[row].function = entry.function
    }
    return unsafe rows
}
