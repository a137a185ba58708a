internal import Cryptography
internal import HTTPTransport
internal import NIOCore

/// Makes the requests of one worker.
///
/// What is the same in all of them is made once. Loop-bound.
final class RequestMaker {
    /// A request's head and body on their way.
    struct Request {
        let head: MessageHead
        let body: ByteBuffer
        /// Whether the last field of ``head`` is this request's alone.
        let hasOwnField: Bool
    }

    /// One a key; one where there are none.
    private var heads: [MessageHead] = []
    /// Up to which random number each head is taken, the last 1.
    private var shares: [Double] = []
    private let payloads: [PayloadTemplate]
    /// The bodies that are always the same, at the places of their payloads.
    private let constants: [ByteBuffer?]
    private let hasRequestIDs: Bool
    private let method: HTTPMethod
    private var random = FastRandom()
    private var sequence: Int
    private let stride: Int
    private var scratch = ByteBuffer()

    /// Reads the keys and makes the heads; off the loop.
    ///
    /// - Parameters:
    ///   - plan: What requests are like.
    ///   - target: Where they go.
    ///   - worker: Which one it is: the sequence numbers of each are its own.
    ///   - workers: How many there are.
    /// - Throws: `.environment` for a key that cannot be read, `.usage` for a field that cannot be.
    init(_ plan: RequestPlan, target: LoadTarget, worker: Int, of workers: Int) throws(LoadError) {
        self.payloads = plan.payloads
        self.constants = plan.payloads.map(\.constant)
        self.hasRequestIDs = plan.hasRequestIDs
        self.method = plan.method ?? (plan.payloads.isEmpty ? .get : .post)
        self.sequence = worker
        self.stride = workers
        guard !plan.keys.isEmpty else {
            self.heads = [try Self.head(plan, target, self.method)]
            self.shares = [1]
            return
        }
        guard target.isEncrypted || target.isLocal else {
            throw .usage("\(target.url): a key is not sent without TLS, but to this machine")
        }
        let total = plan.keys.reduce(0) { $0 + $1.weight }
        var share = 0.0
        for key in plan.keys {
            let head = try Self.head(plan, target, self.method)
            try Self.append(key, to: head)
            self.heads.append(head)
            share += key.weight / total
            self.shares.append(share)
        }
    }

    /// The next request.
    ///
    /// Good until the next call; give it back with ``sent(_:)`` once it was sent.
    func next() -> Request {
        let sequence = self.sequence
        self.sequence += self.stride
        let head = self.heads.count == 1 ? self.heads[0] : self.choose()
        if self.hasRequestIDs {
            let uuid = UUIDText(random: &self.random)
            head.append("x-request-id", as: .xRequestID, atMost: UUIDText.byteCount) {
                uuid.write(to: &$0)
            }
        }
        return Request(head: head, body: self.body(sequence), hasOwnField: self.hasRequestIDs)
    }

    /// Takes back what was only for this request.
    func sent(_ request: Request) {
        if request.hasOwnField { request.head.removeLastField() }
    }

    private func choose() -> MessageHead {
        let number = Double(self.random.next() >> 11) * 0x1p-53
        for (position, share) in self.shares.enumerated() where number < share {
            return self.heads[position]
        }
        return self.heads[self.heads.count - 1]
    }

    private func body(_ sequence: Int) -> ByteBuffer {
        guard !self.payloads.isEmpty else { return ByteBuffer() }
        let place = sequence % self.payloads.count
        if let constant = self.constants[place] { return constant }
        self.scratch.clear()
        self.payloads[place].write(to: &self.scratch, sequence: sequence, random: &self.random)
        return self.scratch
    }

    private static func head(
        _ plan: RequestPlan, _ target: LoadTarget, _ method: HTTPMethod
    ) throws(LoadError) -> MessageHead {
        let head = MessageHead()
        head.method = method
        do throws(HTTPError) {
            try head.setTarget(Array(target.path.utf8).span)
        } catch {
            throw .usage("\(target.url): the path holds what a path may not (\(error))")
        }
        var fields = [("host", target.authority), ("user-agent", "scoregate-load")]
        if !plan.payloads.isEmpty, !plan.fields.contains(where: { $0.name == "content-type" }) {
            fields.append(("content-type", "application/json"))
        }
        for (name, value) in fields where !plan.fields.contains(where: { $0.name == name }) {
            head.append(name: Array(name.utf8).span, value: Array(value.utf8).span)
        }
        for (name, value) in plan.fields {
            let appended = head.append(
                name: Array(name.utf8).span, value: Array(value.utf8).span)
            guard appended != nil else {
                throw .usage("--header \(name): name and value have at most 65,535 bytes")
            }
        }
        return head
    }

    private static func append(_ key: KeyPlan, to head: MessageHead) throws(LoadError) {
        do throws(CryptographyError) {
            let secret = try SecretBytes(contentsOf: key.path, maximum: self.maximumKeyBytes)
            let bytes = secret.bytes
            var count = bytes.byteCount
            while count > 0, bytes[byte: count - 1] == 0x0a || bytes[byte: count - 1] == 0x0d {
                count -= 1
            }
            for index in 0..<count where !(0x21...0x7e).contains(bytes[byte: index]) {
                throw .malformed("\(key.path): a key is one line of visible ASCII characters")
            }
            guard count > 0 else { throw .malformed("\(key.path): the file has no key") }
            head.appendSecret(named: Array("authorization".utf8), valueBytes: count + 7) { output in
                output.append("Bearer ")
                for index in 0..<count { output.append(bytes[byte: index]) }
            }
        } catch {
            throw .environment("the key cannot be used: \(error)")
        }
    }

    /// 8 KiB: as much as a head may have in one field of most servers.
    private static let maximumKeyBytes = 8192
}
