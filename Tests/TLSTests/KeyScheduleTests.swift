import COpenSSL
import Cryptography
import Testing

@testable import TLS

/// The key schedule that OpenSSL asks us for.
@Suite("Key schedule")
struct KeyScheduleTests {
    @Test(
        "The secrets before any key exchange are those of RFC 8448, 3, and their like with SHA-384",
        arguments: [
            (
                HKDF.Digest.sha256,
                "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a",
                "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba"
            ),
            (
                .sha384,
                "7ee8206f5570023e6dc7519eb1073bc4e791ad37b5c382aa10ba18e2357e7169"
                    + "71f9362f2c2fe2a76bfd78dfec4ea9b5",
                "1591dac5cbbf0330a4a84de9c753330e92d01f0a88214b4464972fd668049e93"
                    + "e52f2b16fad922fdc0584478428f282b"
            ),
        ])
    func publishedSecrets(digest: HKDF.Digest, early: String, derived: String) throws {
        let hkdf = try HKDF(digest: digest)
        var secret = [UInt8](repeating: 0, count: digest.byteCount)
        // In place, as it may be.
        unsafe secret.withUnsafeMutableBytes {
            unsafe hkdf.extract(
                UnsafeRawBufferPointer($0), salt: UnsafeRawBufferPointer($0), into: $0)
        }
        #expect(Hexadecimal.text(of: secret.rawSpan) == early)
        unsafe secret.withUnsafeMutableBytes { secret in
            unsafe Array("derived".utf8).withUnsafeBytes { label in
                unsafe hkdf.digestOfNothing.withUnsafeBytes { nothing in
                    unsafe hkdf.expandLabel(
                        UnsafeRawBufferPointer(secret), label, nothing, into: secret)
                }
            }
        }
        #expect(Hexadecimal.text(of: secret.rawSpan) == derived)
    }

    @Test(
        "With any suite, both sides have their traffic keys after a handshake, full or resumed",
        arguments: [TLSCipher.aes128GCM, .aes256GCM, .chacha20Poly1305])
    func handshakes(suite: TLSCipher) throws {
        let certificates = try TestCertificates()
        let server = TLSServerConfiguration(certificates: [try certificates.server(["a.example"])])
        let (keys, sessions) = (TLSTicketKeys(), TLSClientSessions(resumedShare: 1))
        // A client that wants tickets leaves its records to OpenSSL, which reads them there.
        for (wantsTickets, isResumed) in [(false, false), (true, false), (true, true)] {
            var client = TLSClientConfiguration(
                trustRoots: certificates.root, peer: .dnsName("a.example"))
            client.cipherSuites = [suite]
            client.wantsTickets = wantsTickets
            let pair = try TLSPair(
                server: server, client: client, ticketKeys: keys, sessions: sessions)
            try pair.connect()
            #expect(pair.serverHandler.session?.cipher == suite)
            #expect(pair.serverHandler.session?.isResumed == isResumed)
            #expect(pair.serverHandler.connection?.hasOwnRecords == true)
            #expect(pair.clientHandler.connection?.hasOwnRecords == !wantsTickets)
        }
    }

    /// A question to the schedule, by its lengths.
    struct Question: Sendable {
        var isExtract = false
        var secretBytes = 32
        var formerBytes = 0
        var outputBytes = 32
    }

    @Test(
        "What RFC 8446, 7.1 does not ask is not answered",
        arguments: [
            (Question(), true),
            (Question(outputBytes: 12), true),
            (Question(outputBytes: 33), false),
            (Question(outputBytes: 0), false),
            (Question(secretBytes: 31), false),
            (Question(isExtract: true), true),
            (Question(isExtract: true, secretBytes: 0, formerBytes: 32), true),
            (Question(isExtract: true, outputBytes: 31), false),
            (Question(isExtract: true, formerBytes: 16), false),
        ])
    func questions(_ asked: Question, isAnswered: Bool) throws {
        let library = try LibraryContext.make()
        let schedule = try KeySchedule.make(
            in: library, HKDF(in: library), HKDF(in: library, digest: .sha384))
        let secret = [UInt8](repeating: 1, count: 32)
        var output = [UInt8](repeating: 0, count: asked.outputBytes)
        let answer = unsafe secret.withUnsafeBufferPointer { secret in
            var question = unsafe COpenSSL_schedule_question()
            unsafe question.digest_bytes = 32
            unsafe question.is_extract = asked.isExtract ? 1 : 0
            unsafe (question.secret, question.secret_bytes) =
                (secret.baseAddress, asked.secretBytes)
            unsafe (question.former, question.former_bytes) =
                (secret.baseAddress, asked.formerBytes)
            // Any bytes are a label.
            unsafe (question.label, question.label_bytes) = (secret.baseAddress, 3)
            return unsafe output.withUnsafeMutableBytes {
                unsafe schedule.derive(question, into: $0)
            }
        }
        #expect(answer == isAnswered)
        #expect(output.contains { $0 != 0 } == isAnswered)
        withExtendedLifetime(library) {}
    }
}
