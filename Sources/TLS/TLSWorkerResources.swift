internal import COpenSSL
internal import Cryptography
internal import NIOCore

/// What the TLS connections of one event loop share: OpenSSL's library context, one BIO over the
/// loop's buffers, and two buffers that go from connection to connection.
///
/// A connection that waits holds no buffer: it borrows these for the length of a call, and they come
/// back unless somebody down the pipeline kept a part of them.
///
/// May be made anywhere; used on one event loop from then on.
@safe package final class TLSWorkerResources: @unchecked Sendable {
    // Sendable: the library context is free of threads (OSSL_LIB_CTX(3)); everything that changes is
    // touched by TLSHandler and TLSConnection only, on the loop of their worker.
    private let library: LibraryContext
    private let method: OpaquePointer
    private let bio: OpaquePointer
    /// AES-256-CBC, which tickets are sealed with.
    let ticketCipher: OpaquePointer
    let recordCiphers: RecordCiphers
    /// Where the keys of handshakes come from; nil in the process's own library context, which other
    /// threads use too: OpenSSL derives them there, and keeps the records.
    let keySchedule: KeySchedule?
    let transport: UnsafeMutablePointer<COpenSSL_transport>
    /// What the channels of the loop read into.
    package let receiveBuffer = ReceiveBuffer()
    private var sparePlaintext: ByteBuffer?
    private var spareCiphertext: ByteBuffer?

    /// The listeners' connections whose handshakes are begun and not finished, in no order; a
    /// listener that sees too many stops accepting.
    package private(set) var handshakes: [TLSHandler] = []
    private var isSweeping = false

    /// SPIFFE IDs and serial numbers whose certificates are refused in handshakes, however valid.
    var deniedPeers: Set<String> = []
    /// The connections whose peers have shown a certificate.
    var peerConnections: [ObjectIdentifier: TLSHandler] = [:]

    /// Takes note of a handshake that begins.
    ///
    /// - Returns: Its place, which it keeps until told otherwise.
    func handshakeBegan(_ handler: TLSHandler, on loop: any EventLoop) -> Int {
        self.handshakes.append(handler)
        if !self.isSweeping { self.sweepLater(on: loop) }
        return self.handshakes.count - 1
    }

    /// One timer for all handshakes: one each would be a system call each.
    private func sweepLater(on loop: any EventLoop) {
        self.isSweeping = true
        loop.assumeIsolated().scheduleTask(in: Self.sweepInterval) {
            self.isSweeping = false
            let now = loop.now
            for handshake in self.handshakes { handshake.checkHandshake(now: now) }
            if !self.handshakes.isEmpty, !self.isSweeping { self.sweepLater(on: loop) }
        }
    }

    /// 100 ms: how much longer than its limit a handshake may take.
    private static let sweepInterval = TimeAmount.milliseconds(100)

    /// Forgets the handshake at `place`; the last one takes its place.
    func handshakeEnded(at place: Int) {
        let last = self.handshakes.removeLast()
        guard place < self.handshakes.count else { return }
        self.handshakes[place] = last
        last.handshakeMoved(to: place)
    }

    /// Takes a library context of its own, with OpenSSL's default provider.
    ///
    /// - Throws: `.openSSL` if memory is short or the provider does not load.
    package convenience init() throws(TLSError) {
        let library: LibraryContext
        do {
            library = try LibraryContext.make()
        } catch {
            throw .cryptography(error)
        }
        // Kept for the life of the process: each thread that drew random numbers from the context
        // calls into it when the thread ends (rand_delete_thread_state in OpenSSL 3.0), be it freed
        // or not.
        _ = unsafe Unmanaged.passRetained(library)
        try self.init(library: library, isOwn: true)
    }

    /// Resources for a question now and then, in the process's own library context.
    ///
    /// A context of its own would outlive each of them: those are kept for the life of the process.
    package static func forSingleUse() throws(TLSError) -> TLSWorkerResources {
        try TLSWorkerResources(library: .standard)
    }

    /// Works in `library`, such as the process's own for checks; `isOwn` says that nobody else does, and
    /// that it stays.
    init(library: LibraryContext, isOwn: Bool = false) throws(TLSError) {
        do {
            try OpenSSLLibrary.initialise()
        } catch {
            throw .cryptography(error)
        }
        self.library = library
        let recordCiphers = try RecordCiphers(in: library)
        self.recordCiphers = recordCiphers
        self.keySchedule =
            isOwn
            ? try KeySchedule.make(in: library, recordCiphers.sha256, recordCiphers.sha384) : nil
        OpenSSLErrorQueue.clear()
        guard let method = unsafe COpenSSL_transport_method() else {
            throw .ofOpenSSL("BIO method")
        }
        unsafe self.method = method
        guard let bio = unsafe BIO_new_ex(self.library.handle, method) else {
            unsafe BIO_meth_free(method)
            throw .ofOpenSSL("BIO")
        }
        guard let cipher = unsafe EVP_CIPHER_fetch(self.library.handle, "AES-256-CBC", nil) else {
            unsafe BIO_free(bio)
            unsafe BIO_meth_free(method)
            throw .ofOpenSSL("AES-256-CBC")
        }
        unsafe self.ticketCipher = cipher
        unsafe self.bio = bio
        unsafe self.transport = .allocate(capacity: 1)
        unsafe self.transport.initialize(to: COpenSSL_transport())
        unsafe BIO_set_data(bio, self.transport)
        unsafe BIO_set_init(bio, 1)
    }

    deinit {
        // Connections and contexts keep this object alive, so none is left that could use these.
        unsafe BIO_free_all(self.bio)
        unsafe EVP_CIPHER_free(self.ticketCipher)
        unsafe BIO_meth_free(self.method)
        unsafe CRYPTO_free(self.transport.pointee.spill, nil, 0)
        unsafe self.transport.deallocate()
    }

    @unsafe var libraryHandle: OpaquePointer? { unsafe self.library.handle }

    /// Gives `ssl` the shared BIO for both directions (SSL_set_bio(3): one reference is consumed).
    @unsafe func attach(_ ssl: OpaquePointer) {
        unsafe BIO_up_ref(self.bio)
        unsafe SSL_set_bio(ssl, self.bio, self.bio)
    }

    /// An empty buffer for plaintext, with room for `capacity` bytes.
    func takePlaintextBuffer(capacity: Int) -> ByteBuffer {
        Self.take(&self.sparePlaintext, capacity: capacity)
    }

    /// Takes a buffer back; it is used again once nobody else holds a part of it.
    func returnPlaintextBuffer(_ buffer: ByteBuffer) {
        if buffer.storageCapacity <= Self.maximumSpareBytes { self.sparePlaintext = buffer }
    }

    /// An empty buffer for ciphertext, with room for `capacity` bytes.
    func takeCiphertextBuffer(capacity: Int) -> ByteBuffer {
        Self.take(&self.spareCiphertext, capacity: capacity)
    }

    /// Takes a buffer back; it is used again once the channel has written it.
    func returnCiphertextBuffer(_ buffer: ByteBuffer) {
        if buffer.storageCapacity <= Self.maximumSpareBytes { self.spareCiphertext = buffer }
    }

    private static func take(_ spare: inout ByteBuffer?, capacity: Int) -> ByteBuffer {
        // Out of its place first: a second reference would make clear() allocate.
        guard var buffer = spare.take() else {
            return ByteBufferAllocator().buffer(capacity: max(capacity, self.minimumBytes))
        }
        buffer.clear(minimumCapacity: max(capacity, self.minimumBytes))
        return buffer
    }

    /// 2 KiB: a request or answer of usual size, so that buffers need not grow one by one.
    private static let minimumBytes = 2_048

    /// 256 KiB: what one buffer may keep of a burst.
    private static let maximumSpareBytes = 262_144
}

extension TLSError {
    /// OpenSSL refused `operation`; empties the error queue.
    static func ofOpenSSL(_ operation: String) -> TLSError {
        .openSSL(operation: operation, reason: OpenSSLErrorQueue.drain())
    }
}
