import COpenSSL
import Cryptography
import NIOCore
import Testing

@testable import TLS

/// The record layer by itself: the traces of RFC 8448, 3, and records no honest peer sends.
@Suite("Records of TLS 1.3")
struct RecordProtectionTests {
    private let ciphers: RecordCiphers

    init() throws {
        try OpenSSLLibrary.initialise()
        self.ciphers = try RecordCiphers(in: .standard)
    }

    @Test("The application data and the alerts of RFC 8448 open and seal to the very bytes")
    func publishedTrace() throws {
        let server = try self.protection(isClient: false, writingFrom: 1)
        #expect(self.read(Trace.clientData, server).data == Trace.data)
        #expect(self.seal(Trace.data, server) == Trace.serverData)
        let end = self.read(Trace.clientAlert, server)
        guard case .closed = end.step else { return #expect(Bool(false), "\(end.step)") }
        server.shutDownWriting()
        #expect(self.controlBytes(server) == Trace.serverAlert)
    }

    @Test("A record is opened however its bytes arrive", arguments: [1, 2, 3, 5, 7, 71, 72, 73])
    func pieces(_ size: Int) throws {
        let server = try self.protection(isClient: false)
        let bytes = Trace.clientData + Trace.clientAlert
        var data: [UInt8] = []
        var last: TLSConnection.ReadStep?
        for start in stride(from: 0, to: bytes.count, by: size) {
            let piece = self.read(Array(bytes[start..<min(start + size, bytes.count)]), server)
            data += piece.data
            last = piece.step
        }
        #expect(data == Trace.data)
        guard case .closed = last else {
            return #expect(Bool(false), "\(String(describing: last))")
        }
    }

    @Test("A record with any bit changed is refused, and nothing of it is seen")
    func changedBits() throws {
        for position in Trace.clientData.indices {
            // The version is not looked at, but it is authenticated.
            var changed = Trace.clientData
            changed[position] ^= 1 << UInt8(position % 8)
            let server = try self.protection(isClient: false)
            let answer = self.read(changed + Trace.clientAlert, server)
            #expect(answer.data.isEmpty)
            // A longer length waits for more, and finds that it is not authentic then.
            if case .drained = answer.step, position == 3 || position == 4 { continue }
            guard case .failed = answer.step else {
                return #expect(Bool(false), "byte \(position): \(answer.step)")
            }
        }
    }

    @Test(
        "Records and messages that do not belong here are refused with the alert of RFC 8446, 6.2")
    func refusedRecords() throws {
        let cases: [(name: String, records: [Record], alert: Int32)] = [
            ("padding only", [Record(0, [])], SSL_AD_UNEXPECTED_MESSAGE),
            ("a type that is none", [Record(99, [1])], SSL_AD_UNEXPECTED_MESSAGE),
            ("change_cipher_spec, encrypted", [Record(20, [1])], SSL_AD_UNEXPECTED_MESSAGE),
            ("an alert of one byte", [Record(21, [1])], SSL_AD_DECODE_ERROR),
            ("an empty handshake record", [Record(22, [])], SSL_AD_UNEXPECTED_MESSAGE),
            ("a ClientHello", [Record(22, [1, 0, 0, 1, 0])], SSL_AD_UNEXPECTED_MESSAGE),
            ("a ticket for a server", [Record(22, [4, 0, 0, 1, 0])], SSL_AD_UNEXPECTED_MESSAGE),
            ("a key update of two bytes", [Record(22, [24, 0, 0, 2, 0, 0])], SSL_AD_DECODE_ERROR),
            ("a key update of no kind", [Record(22, [24, 0, 0, 1, 2])], SSL_AD_ILLEGAL_PARAMETER),
            (
                "a message behind a key update", [Record(22, [24, 0, 0, 1, 0, 24])],
                SSL_AD_UNEXPECTED_MESSAGE
            ),
            (
                "data inside a message", [Record(22, [24, 0, 0]), Record(23, [1])],
                SSL_AD_UNEXPECTED_MESSAGE
            ),
            (
                "too much content", [Record(23, [UInt8](repeating: 1, count: 16_385))],
                SSL_AD_RECORD_OVERFLOW
            ),
            (
                "33 records without data", [Record](repeating: Record(23, []), count: 33),
                SSL_AD_UNEXPECTED_MESSAGE
            ),
        ]
        for (name, records, alert) in cases {
            let server = try self.protection(isClient: false)
            var peer = try self.key(Trace.clientSecret, .sealing)
            let answer = self.read(try records.flatMap { try self.seal($0, &peer) }, server)
            guard case .failed(.recordRefused) = answer.step else {
                #expect(Bool(false), "\(name): \(answer.step)")
                continue
            }
            #expect(answer.data.isEmpty, "\(name)")
            #expect(try self.openedAlert(server) == [2, UInt8(alert)], "\(name)")
        }
    }

    @Test(
        "A header that cannot be one of a record is refused before its record is there",
        arguments: [
            ([20, 3, 3, 0, 1], SSL_AD_UNEXPECTED_MESSAGE), ([21, 3, 3, 0, 2], 10),
            ([22, 3, 3, 0, 40], 10), ([23, 3, 3, 0x41, 1], SSL_AD_RECORD_OVERFLOW),
            ([23, 3, 3, 0, 16], SSL_AD_BAD_RECORD_MAC), ([23, 3, 3, 0, 0], 20),
        ] as [([UInt8], Int32)])
    func refusedHeaders(_ header: [UInt8], _ alert: Int32) throws {
        let server = try self.protection(isClient: false)
        _ = self.read(Array(header.prefix(4)), server)
        guard case .failed(.recordRefused) = self.read(Array(header.suffix(1)), server).step else {
            return #expect(Bool(false), "accepted")
        }
        #expect(try self.openedAlert(server) == [2, UInt8(alert)])
    }

    @Test("Padding goes, and up to 32 records without data may hide sizes")
    func padding() throws {
        let server = try self.protection(isClient: false)
        var peer = try self.key(Trace.clientSecret, .sealing)
        var bytes: [UInt8] = []
        for _ in 0..<32 { bytes += try self.seal(Record(23, []), &peer) }
        // A type of zero and content that ends with the true one is padding, as it is on the wire.
        bytes += try self.seal(Record(0, [7, 8, 23, 0, 0, 0]), &peer)
        let answer = self.read(bytes, server)
        #expect(answer.data == [7, 8])
    }

    @Test("A fatal alert is told, user_canceled is not an end")
    func alerts() throws {
        let server = try self.protection(isClient: false)
        var peer = try self.key(Trace.clientSecret, .sealing)
        let canceled = try self.seal(Record(21, [1, 90]), &peer)
        let data = try self.seal(Record(23, [5]), &peer)
        let fatal = try self.seal(Record(21, [2, 80]), &peer)
        let answer = self.read(canceled + data + fatal, server)
        #expect(answer.data == [5])
        guard case .failed(.alertReceived(80)) = answer.step else {
            return #expect(Bool(false), "\(answer.step)")
        }
    }

    @Test("A client passes over tickets, wherever records cut them")
    func tickets() throws {
        let client = try self.protection(isClient: true)
        var peer = try self.key(Trace.serverSecret, .sealing)
        let ticket = [4, 0, 0, 200] + [UInt8](repeating: 9, count: 200)
        var bytes = try self.seal(Record(22, Array(ticket[..<2])), &peer)
        bytes += try self.seal(Record(22, Array(ticket[2..<100])), &peer)
        bytes += try self.seal(Record(22, Array(ticket[100...]) + ticket), &peer)
        bytes += try self.seal(Record(23, [1, 2]), &peer)
        #expect(self.read(bytes, client).data == [1, 2])
    }

    @Test("Both directions go on through key updates, by all three suites")
    func keyUpdates() throws {
        for cipher in [TLSCipher.aes128GCM, .aes256GCM, .chacha20Poly1305] {
            let client = try self.protection(isClient: true, cipher)
            let server = try self.protection(isClient: false, cipher)
            var peer = try self.key(Trace.clientSecret, .sealing, cipher)
            let update = try self.seal(Record(22, [24, 0, 0, 1, 1]), &peer)
            #expect(self.read(update, server).data.isEmpty)
            let answer = self.controlBytes(server)
            #expect(self.read(answer + self.seal([1, 2, 3], server), client).data == [1, 2, 3])
            let isUpdated = peer.update()
            #expect(isUpdated)
            #expect(self.read(try self.seal(Record(23, [4]), &peer), server).data == [4])
        }
    }

    @Test("The seventeenth key update within a minute is one too many")
    func tooManyKeyUpdates() throws {
        let server = try self.protection(isClient: false)
        var peer = try self.key(Trace.clientSecret, .sealing)
        for _ in 1...16 {
            let update = try self.seal(Record(22, [24, 0, 0, 1, 0]), &peer)
            let isUpdated = peer.update()
            #expect(isUpdated)
            let data = try self.seal(Record(23, [1]), &peer)
            #expect(self.read(update + data, server).data == [1])
        }
        let last = self.read(try self.seal(Record(22, [24, 0, 0, 1, 0]), &peer), server)
        guard case .failed(.tooManyKeyChanges) = last.step else {
            return #expect(Bool(false), "\(last.step)")
        }
    }

    @Test("A key that has sealed 2^24 records is replaced before the next")
    func wornOutKey() throws {
        let limit: UInt64 = 1 << 24
        let server = try self.protection(isClient: false, writingFrom: limit - 1)
        let client = try RecordProtection(
            reading: self.key(Trace.serverSecret, .opening, number: limit - 1),
            writing: self.key(Trace.clientSecret, .sealing), isClient: true)
        let one = self.seal([1], server)
        let two = self.seal([2], server)
        #expect(one.count == 1 + TrafficKey.overheadBytes)
        #expect(two.count == 1 + 5 + 2 * TrafficKey.overheadBytes)
        #expect(self.read(one + two + self.seal([3], server), client).data == [1, 2, 3])
    }

    @Test("What does not fit waits, whole records at a time")
    func fullPlaintext() throws {
        let server = try self.protection(isClient: false)
        var peer = try self.key(Trace.clientSecret, .sealing)
        let content = (0..<16_384).map { UInt8(truncatingIfNeeded: $0) }
        var input = ByteBuffer()
        for _ in 0..<5 { input.writeBytes(try self.seal(Record(23, content), &peer)) }
        var opened: [UInt8] = []
        var rounds = 0
        while input.readableBytes > 0 {
            rounds += 1
            var plaintext = ByteBufferAllocator().buffer(capacity: 65_536)
            _ = server.read(&input, into: &plaintext)
            opened += plaintext.readableBytesView
        }
        #expect(rounds == 2)
        #expect(opened == [[UInt8]](repeating: content, count: 5).flatMap { $0 })
    }
}

extension RecordProtectionTests {
    /// What one record has inside.
    struct Record {
        let type: UInt8
        let content: [UInt8]

        init(_ type: UInt8, _ content: [UInt8]) {
            self.type = type
            self.content = content
        }
    }

    private func key(
        _ secret: [UInt8], _ direction: TrafficKey.Direction, _ cipher: TLSCipher = .aes128GCM,
        number: UInt64 = 0
    ) throws -> TrafficKey {
        let suite = try #require(self.ciphers.suite(cipher))
        let secret = Array((secret + secret).prefix(suite.secretBytes))
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: secret.count, alignment: 1)
        defer { unsafe bytes.deallocate() }
        unsafe bytes.copyBytes(from: secret)
        let key = unsafe TrafficKey.make(
            suite, secret: UnsafeRawBufferPointer(bytes), direction, number: number)
        guard let key else { throw TLSError.ofOpenSSL("key") }
        return key
    }

    private func protection(
        isClient: Bool, _ cipher: TLSCipher = .aes128GCM, writingFrom number: UInt64 = 0
    ) throws -> RecordProtection {
        let (own, peers) =
            isClient
            ? (Trace.clientSecret, Trace.serverSecret) : (Trace.serverSecret, Trace.clientSecret)
        return RecordProtection(
            reading: try self.key(peers, .opening, cipher),
            writing: try self.key(own, .sealing, cipher, number: number), isClient: isClient)
    }

    private func seal(_ record: Record, _ key: inout TrafficKey) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: record.content.count + TrafficKey.overheadBytes)
        let isSealed = unsafe bytes.withUnsafeMutableBytes { output in
            unsafe record.content.withUnsafeBytes { content in
                guard let start = output.baseAddress else { return false }
                return unsafe key.seal(content, type: record.type, into: start)
            }
        }
        try #require(isSealed)
        return bytes
    }

    private func seal(_ data: [UInt8], _ protection: RecordProtection) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: TLSConnection.sealedBytes(data.count))
        var sizes = RecordSize(isDynamic: false)
        let count = unsafe bytes.withUnsafeMutableBytes { window in
            unsafe data.withUnsafeBytes { unsafe protection.seal($0, into: window, &sizes) }
        }
        return Array(bytes.prefix(count ?? 0))
    }

    private func read(
        _ bytes: [UInt8], _ protection: RecordProtection
    ) -> (data: [UInt8], step: TLSConnection.ReadStep) {
        var input = ByteBuffer(bytes: bytes)
        var plaintext = ByteBufferAllocator().buffer(capacity: bytes.count + protection.heldBytes)
        let step = protection.read(&input, into: &plaintext)
        return (Array(plaintext.readableBytesView), step)
    }

    private func controlBytes(_ protection: RecordProtection) -> [UInt8] {
        var bytes = ByteBuffer()
        protection.takeControlBytes(into: &bytes)
        return Array(bytes.readableBytesView)
    }

    /// The alert a server made, opened.
    private func openedAlert(_ server: RecordProtection) throws -> [UInt8] {
        let record = self.controlBytes(server)
        var key = try self.key(Trace.serverSecret, .opening)
        var content = [UInt8](repeating: 0, count: record.count)
        let isOpened = unsafe record.withUnsafeBytes { record in
            unsafe content.withUnsafeMutableBytes { content in
                guard let start = content.baseAddress else { return false }
                return unsafe key.open(record, into: start)
            }
        }
        try #require(isOpened)
        #expect(content[2] == 21)
        return Array(content.prefix(2))
    }
}

/// RFC 8448, 3: the end of a simple handshake with TLS_AES_128_GCM_SHA256.
private enum Trace {
    static let clientSecret = bytes(
        "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5")
    static let serverSecret = bytes(
        "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643")
    static let data = (0..<50).map { UInt8($0) }
    static let clientData = bytes(
        "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a"
            + "9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4")
    /// The second of the server's: a ticket came before it.
    static let serverData = bytes(
        "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602d"
            + "cb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d")
    static let clientAlert = bytes("1703030013c9872760655666b74d7ff1153efd6db6d0b0e3")
    static let serverAlert = bytes("1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9")

    private static func bytes(_ text: String) -> [UInt8] {
        Hexadecimal.bytes(of: text) ?? []
    }
}
