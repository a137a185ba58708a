import Cryptography
import State
import Testing

@testable import Gateway

@Suite struct EndpointKeyTests {
    private static let now: Int64 = 1_800_000_000_000

    /// A key's text, for putting it into a request.
    private static func text(of key: borrowing IssuedEndpointKey) -> String {
        let bytes = (0..<key.text.count).map { key.text.bytes.byte(at: $0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// A key with its text and record.
    private static func make(
        endpoint: String = "iris", slot: EndpointKeySlot = .primary,
        pepper: borrowing SecretBytes, lifetime: Int64? = nil
    ) throws -> (text: String, record: EndpointKeyRecord) {
        let key = try IssuedEndpointKey.make(
            endpoint: endpoint, slot: slot, pepper: pepper, nowMilliseconds: Self.now,
            lifetimeMilliseconds: lifetime)
        return (Self.text(of: key), key.record)
    }

    private static func table(_ records: [EndpointKeyRecord]) -> EndpointKeyTable {
        EndpointKeyTable(
            EndpointKeyRecords(generation: 7, keys: records), endpoints: ["iris", "wine"])
    }

    private static func verify(
        _ verifier: EndpointKeyVerifier, _ value: String, endpoint: Int = 0,
        _ table: EndpointKeyTable, now: Int64 = EndpointKeyTests.now,
        proven: ProvenToken = ProvenToken()
    ) -> EndpointKeyAnswer {
        let bytes = Array(value.utf8)
        return verifier.verify(
            authorization: bytes.rawSpan, endpoint: endpoint, in: table, nowMilliseconds: now,
            proven: proven)
    }

    private static func isDenied(_ answer: EndpointKeyAnswer) -> Bool {
        if case .denied = answer { true } else { false }
    }

    @Test("a key has the documented form and another text each time")
    func form() throws {
        let pepper = try SystemRandom.secret(count: 32)
        var texts: Set<String> = []
        for slot in EndpointKeySlot.allCases {
            for _ in 0..<20 {
                let (text, record) = try Self.make(slot: slot, pepper: pepper)
                #expect(text.wholeMatch(of: /sgk1[ps]_[0-9A-Za-z]{60}/) != nil)
                #expect(text.hasPrefix(slot == .primary ? "sgk1p_" : "sgk1s_"))
                #expect(text.dropFirst(6).prefix(11) == record.kid)
                #expect(texts.insert(text).inserted)
            }
        }
    }

    @Test("what a connection proved before is asked anew of the table each time")
    func proven() throws {
        let pepper = try SystemRandom.secret(count: 32)
        let verifier = try EndpointKeyVerifier(pepper: pepper)
        let (iris, first) = try Self.make(pepper: pepper)
        let (_, second) = try Self.make(slot: .secondary, pepper: pepper)
        let id = try #require(EndpointKeyID(first.kid))
        let table = Self.table([first, second])
        let proven = ProvenToken()
        for _ in 0..<3 {
            #expect(Self.verify(verifier, "Bearer \(iris)", table, proven: proven) == .granted(id))
        }
        let granted = Array("Bearer \(iris)".utf8)
        let digest = proven.digest(of: granted.rawSpan) ?? .zero
        #expect(ConstantTime.equal(digest, first.digest))
        #expect(
            Self.verify(verifier, "Bearer \(iris)", endpoint: 1, table, proven: proven)
                == .denied(id))
        #expect(
            Self.verify(verifier, "Bearer \(iris)", Self.table([second]), proven: proven)
                == .denied(id))
        let other = "Bearer \(iris.dropLast())\(iris.last == "0" ? "1" : "0")"
        #expect(Self.verify(verifier, other, table, proven: proven) == .denied(id))
        #expect(proven.digest(of: Array(other.utf8).rawSpan) == nil)
        #expect(Self.verify(verifier, "Bearer \(iris)", table, proven: proven) == .granted(id))
        // A refused token is not remembered.
        #expect(Self.verify(verifier, other, table, proven: ProvenToken()) == .denied(id))
    }

    @Test("a key is granted for its endpoint alone")
    func granted() throws {
        let pepper = try SystemRandom.secret(count: 32)
        let verifier = try EndpointKeyVerifier(pepper: pepper)
        let (iris, first) = try Self.make(pepper: pepper)
        let (wine, second) = try Self.make(endpoint: "wine", slot: .secondary, pepper: pepper)
        let (_, absent) = try Self.make(endpoint: "gone", pepper: pepper)
        let table = Self.table([first, second, absent])
        #expect(table.count == 2)
        let id = try #require(EndpointKeyID(first.kid))
        #expect(id.description == first.kid)
        #expect(Self.verify(verifier, "Bearer \(iris)", table) == .granted(id))
        #expect(Self.verify(verifier, "bEARER  \(iris)", table) == .granted(id))
        #expect(Self.verify(verifier, "Bearer \(iris)", endpoint: 1, table) == .denied(id))
        #expect(
            Self.verify(verifier, "Bearer \(wine)", endpoint: 1, table)
                == .granted(try #require(EndpointKeyID(second.kid))))
        #expect(table.admits(id, endpoint: 0, nowMilliseconds: Self.now))
        #expect(!Self.table([second]).admits(id, endpoint: 0, nowMilliseconds: Self.now))
    }

    @Test("every changed character of a key is refused")
    func changed() throws {
        let pepper = try SystemRandom.secret(count: 32)
        let verifier = try EndpointKeyVerifier(pepper: pepper)
        let (text, record) = try Self.make(pepper: pepper)
        let table = Self.table([record])
        for index in text.indices {
            var changed = text
            changed.replaceSubrange(index...index, with: text[index] == "A" ? "B" : "A")
            #expect(Self.isDenied(Self.verify(verifier, "Bearer \(changed)", table)))
        }
        // These claim no kid, and so share none with each other's senders.
        for other in ["\(text.dropLast())", "\(text)A", "x"] {
            #expect(Self.verify(verifier, "Bearer \(other)", table) == .denied(nil))
        }
    }

    @Test("a key of the right form with an unknown kid, secret or pepper is refused")
    func unknown() throws {
        let pepper = try SystemRandom.secret(count: 32)
        let other = try SystemRandom.secret(count: 32)
        let (text, record) = try Self.make(pepper: pepper)
        let (stranger, _) = try Self.make(pepper: pepper)
        let table = Self.table([record])
        let verifier = try EndpointKeyVerifier(pepper: pepper)
        #expect(Self.isDenied(Self.verify(verifier, "Bearer \(stranger)", table)))
        #expect(Self.isDenied(Self.verify(verifier, "Bearer \(text)", Self.table([]))))
        let elsewhere = try EndpointKeyVerifier(pepper: other)
        #expect(Self.isDenied(Self.verify(elsewhere, "Bearer \(text)", table)))
    }

    @Test(
        "what is not Bearer and one token is told apart",
        arguments: [
            "", "Bearer", "Bearer ", "Bearer  ", "Basic abc", "Bearerabc", "Bearer a b",
            "Bearer a,b", "Bearer\ta", "Bearer é", "Bearer \"a\"",
        ])
    func badHeader(_ value: String) throws {
        let verifier = try EndpointKeyVerifier(pepper: try SystemRandom.secret(count: 32))
        #expect(Self.verify(verifier, value, Self.table([])) == .badHeader)
    }

    @Test("a key is valid from its first to its last millisecond")
    func expiry() throws {
        let pepper = try SystemRandom.secret(count: 32)
        let verifier = try EndpointKeyVerifier(pepper: pepper)
        let (text, record) = try Self.make(pepper: pepper, lifetime: 1000)
        let table = Self.table([record])
        for (offset, isGranted) in [(-1, false), (0, true), (999, true), (1000, false)] {
            let answer = Self.verify(
                verifier, "Bearer \(text)", table, now: Self.now + Int64(offset))
            #expect(Self.isDenied(answer) != isGranted)
        }
    }

    @Test("a thousand keys are all found")
    func manyKeys() throws {
        let digest = Digest32.zero
        let records = (0..<1000).map { number in
            EndpointKeyRecord(
                kid: "0000000" + String(number + 1000), endpoint: "iris", slot: .primary,
                digest: digest, createdMilliseconds: 0, notBeforeMilliseconds: 0,
                expiresMilliseconds: nil)
        }
        let table = Self.table(records)
        for record in records {
            let id = try #require(EndpointKeyID(record.kid))
            #expect(table.entry(id)?.id == id)
        }
        #expect(table.entry(try #require(EndpointKeyID("00000000999"))) == nil)
    }
}
