package import Cryptography

/// The cipher contexts of one writer or reader, used for one segment after another.
///
/// Not Sendable: one a thread. Holds the key of one segment at a time.
package final class SegmentCiphers {
    /// Derives keys.
    package let hkdf: HKDF
    let digest: SHA256
    private var cipher: XAES256GCM?
    private var associatedData: [UInt8]
    private var nonce = [UInt8](repeating: 0, count: XAES256GCM.nonceBytes)

    /// Fetches the algorithms.
    package init() throws(SealedLogError) {
        do throws(CryptographyError) {
            self.hkdf = try HKDF()
            self.digest = try SHA256()
        } catch {
            throw .cryptography(error)
        }
        self.associatedData =
            Self.frameLabel
            + [UInt8](
                repeating: 0,
                count: LogIdentifier.byteCount + FrameHeader.byteCount + Digest32.byteCount)
    }

    /// Takes up the segment whose header begins with the 224 bytes `committed`, with its log key at
    /// its step, and gives the commitment it must have.
    func beginSegment(
        committed: [UInt8], _ key: borrowing LogKey
    ) throws(SealedLogError) -> SecretBytes {
        let header = self.digest.digest(committed.rawSpan).bytes
        let salt = committed.rawSpan.extracting(128..<128 + SegmentHeader.saltBytes)
        let segmentKey = try key.derive(
            salt: salt, information: (Self.keyLabel + header).rawSpan, with: self.hkdf)
        do throws(CryptographyError) {
            if let cipher = self.cipher {
                try cipher.replaceKey(with: segmentKey)
            } else {
                self.cipher = try XAES256GCM(key: segmentKey)
            }
        } catch {
            throw .cryptography(error)
        }
        self.associatedData.replace(
            at: Self.frameLabel.count, with: committed.rawSpan.extracting(16..<32))
        return try key.derive(
            salt: salt, information: (Self.commitmentLabel + header).rawSpan, with: self.hkdf)
    }

    /// Whether there is a segment's key.
    var hasKey: Bool { self.cipher != nil }

    /// Wipes the segment's key.
    func forgetKey() {
        self.cipher = nil
    }

    /// The chain's head before the first frame.
    func chainStart(header: RawSpan) -> ChainHead {
        self.digest.update(Self.chainStartLabel.rawSpan)
        self.digest.update(header)
        return ChainHead(self.digest.finish())
    }

    /// The chain's head after a frame: `frame` is its header, ciphertext and tag, no filling.
    func chain(after head: ChainHead, frame: RawSpan) -> ChainHead {
        self.digest.update(Self.chainLabel.rawSpan)
        self.digest.update(head.bytes.rawSpan)
        self.digest.update(frame)
        return ChainHead(self.digest.finish())
    }

    /// Seals `plaintext` behind the 64 bytes of header that `frame` begins with.
    func seal(
        _ plaintext: RawSpan, into frame: inout [UInt8], _ head: ChainHead
    ) throws(SealedLogError) {
        guard let cipher = self.cipher else { preconditionFailure("a segment was begun") }
        self.bind(frame.rawSpan, head)
        let (nonce, associatedData) = (self.nonce, self.associatedData)
        do throws(CryptographyError) {
            try cipher.seal(
                plaintext, nonce: nonce.rawSpan, associatedData: associatedData.rawSpan,
                into: &frame, at: FrameHeader.byteCount)
        } catch {
            throw .cryptography(error)
        }
    }

    /// Opens `frame`, which is header, ciphertext and tag; false if it is not authentic.
    func open(_ frame: RawSpan, into plaintext: inout [UInt8], _ head: ChainHead) -> Bool {
        guard let cipher = self.cipher else { preconditionFailure("a segment was begun") }
        self.bind(frame, head)
        let (nonce, associatedData) = (self.nonce, self.associatedData)
        do throws(CryptographyError) {
            try cipher.open(
                frame.extracting(droppingFirst: FrameHeader.byteCount), nonce: nonce.rawSpan,
                associatedData: associatedData.rawSpan, into: &plaintext)
            return true
        } catch {
            return false
        }
    }

    /// Decrypts `frame`, which is header, ciphertext and tag, without proof.
    func decryptUnproven(
        _ frame: RawSpan, into plaintext: inout [UInt8]
    ) throws(SealedLogError) {
        guard let cipher = self.cipher else { preconditionFailure("a segment was begun") }
        self.bind(frame, .zero)
        let nonce = self.nonce
        let end = frame.byteCount - XAES256GCM.tagBytes
        do throws(CryptographyError) {
            try cipher.decryptUnproven(
                frame.extracting(FrameHeader.byteCount..<end), nonce: nonce.rawSpan,
                into: &plaintext)
        } catch {
            throw .cryptography(error)
        }
    }

    /// aad = "sgl1 frame" ‖ 00 ‖ segment id ‖ frame header ‖ chain head.
    ///
    /// nonce = frame salt ‖ 00 00 00 ‖ frame index ‖ type.
    private func bind(_ frame: RawSpan, _ head: ChainHead) {
        let offset = Self.frameLabel.count + LogIdentifier.byteCount
        self.associatedData.replace(
            at: offset, with: frame.extracting(first: FrameHeader.byteCount))
        self.associatedData.replace(
            at: offset + FrameHeader.byteCount, with: head.bytes.rawSpan)
        let salt = FrameHeader.saltOffset
        self.nonce.replace(at: 0, with: frame.extracting(salt..<salt + FrameHeader.saltBytes))
        self.nonce.replace(at: 15, with: frame.extracting(8..<16))
        self.nonce[23] = frame[byte: 4]
    }

    private static let frameLabel = Array("sgl1 frame".utf8) + [0]
    private static let keyLabel = Array("sgl1 enc".utf8) + [0]
    private static let commitmentLabel = Array("sgl1 commit".utf8) + [0]
    private static let chainStartLabel = Array("sgl1 chain0".utf8) + [0]
    private static let chainLabel = Array("sgl1 chain".utf8) + [0]
}
