internal import Cryptography
internal import NIOCore
@testable internal import TLS

/// Records that open, with whatever inside, are understood alike whole and byte by byte.
///
/// Input: which side we are (1), then records: type (1), bytes of content (2), content. What does not
/// open is tampering, which tests cover; here a peer that holds the keys says what it likes.
func fuzzRecords(_ input: [UInt8]) {
    guard let ciphers = unsafe ciphers, let first = input.first else { return }
    let isClient = first & 1 == 1
    guard let sealed = seal(Array(input.dropFirst()), ciphers, isClient: isClient) else { return }
    let whole = read(sealed, ciphers, isClient: isClient, piece: sealed.count)
    require(
        whole == read(sealed, ciphers, isClient: isClient, piece: 1),
        "byte by byte it is something else")
}

nonisolated(unsafe) private let ciphers: RecordCiphers? = {
    do {
        try OpenSSLLibrary.initialise()
        return try RecordCiphers(in: .standard)
    } catch {
        return nil
    }
}()

/// A traffic secret, the same for everybody.
private func key(
    _ ciphers: RecordCiphers, _ secret: UInt8, _ direction: TrafficKey.Direction
) -> TrafficKey? {
    guard let suite = ciphers.suite(.aes128GCM) else { return nil }
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 32, alignment: 1)
    defer { unsafe bytes.deallocate() }
    unsafe bytes.initializeMemory(as: UInt8.self, repeating: secret)
    return unsafe TrafficKey.make(suite, secret: UnsafeRawBufferPointer(bytes), direction)
}

private func seal(_ input: [UInt8], _ ciphers: RecordCiphers, isClient: Bool) -> [UInt8]? {
    guard var peer = key(ciphers, isClient ? 2 : 1, .sealing) else { return nil }
    var sealed: [UInt8] = []
    var rest = input[...]
    while rest.count >= 3 {
        let type = rest[rest.startIndex]
        let count = min(
            Int(rest[rest.startIndex + 1]) << 8 | Int(rest[rest.startIndex + 2]), rest.count - 3)
        let content = Array(rest.dropFirst(3).prefix(count))
        rest = rest.dropFirst(3 + count)
        var record = [UInt8](repeating: 0, count: count + TrafficKey.overheadBytes)
        let isSealed = unsafe record.withUnsafeMutableBytes { output in
            unsafe content.withUnsafeBytes { content in
                guard let start = output.baseAddress else { return false }
                return unsafe peer.seal(content, type: type, into: start)
            }
        }
        guard isSealed else { return nil }
        sealed += record
        // The peer goes on with its next key after a key update, as it would.
        if type == 22, content.suffix(5).dropLast() == [24, 0, 0, 1], !peer.update() { return nil }
    }
    return sealed
}

private func read(
    _ bytes: [UInt8], _ ciphers: RecordCiphers, isClient: Bool, piece: Int
) -> String {
    guard let reading = key(ciphers, isClient ? 2 : 1, .opening),
        let writing = key(ciphers, isClient ? 1 : 2, .sealing)
    else { return "" }
    let records = RecordProtection(reading: reading, writing: writing, isClient: isClient)
    var data: [UInt8] = []
    var sent: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: max(1, piece)) {
        var input = ByteBuffer(bytes: bytes[start..<min(bytes.count, start + piece)])
        var step = TLSConnection.ReadStep.full
        while case .full = step {
            var plaintext = ByteBufferAllocator().buffer(
                capacity: input.readableBytes + records.heldBytes)
            step = records.read(&input, into: &plaintext)
            data += Array(plaintext.readableBytesView)
        }
        var control = ByteBuffer()
        records.takeControlBytes(into: &control)
        sent += Array(control.readableBytesView)
        require(records.heldBytes <= 5 + 16_384 + 256, "more than a record is held")
        switch step {
        case .drained, .full: continue
        case .closed: return "\(data) \(sent) closed"
        case .failed(let error): return "\(data) \(sent) \(error)"
        }
    }
    return "\(data) \(sent)"
}
