import Foundation
import Testing

@testable import KeyVault

@Suite("What is made of a vault's answers") struct VaultValueTests {
    @Test(
        "A base URL is one of a vault, in one form",
        arguments: [
            ("https://iris.vault.azure.net", "https://iris.vault.azure.net"),
            ("https://Iris.Vault.azure.net/", "https://iris.vault.azure.net"),
            ("https://iris.vault.azure.net:443", "https://iris.vault.azure.net"),
            ("https://127.0.0.1:7443", "https://127.0.0.1:7443"),
            ("https://[::1]:7443/", "https://[::1]:7443"),
            ("http://iris.vault.azure.net", nil), ("https://", nil), ("https://a/b", nil),
            ("https://a?b", nil), ("https://u@a", nil), ("https://a:0", nil),
            ("https://a:65536", nil), ("https://a:", nil), ("https://a:1:2", nil),
            ("https://[x]:1", nil), ("https://a b", nil), ("https://a\r\nb", nil), ("", nil),
        ])
    func address(_ text: String, form: String?) {
        #expect(VaultAddress(text)?.description == form)
    }

    @Test(
        "The status and the vault's own code say what became of the key",
        arguments: [
            (200, "", nil),
            (403, "Forbidden KeyDisabled", KeyVaultError.revoked(.disabled)),
            (403, "Forbidden KeyExpired", .revoked(.expired)),
            (403, "Forbidden KeyNotYetValid", .revoked(.notYetValid)),
            (403, "Forbidden ForbiddenByRbac", .revoked(.forbidden)),
            (403, "Forbidden", .revoked(.forbidden)),
            (403, "Other", .unusable(reason: "it answered 403")),
            (403, "", .unusable(reason: "it answered 403")),
            (404, "KeyNotFound", .revoked(.deleted)),
            (404, "", .unusable(reason: "it answered 404")),
            (401, "Unauthorized", .unusable(reason: "it does not accept who we are (401)")),
            (409, "Conflict", .unusable(reason: "it answered 409")),
            (429, "Throttled", .throttled(retryAfterMilliseconds: 7000)),
            (500, "KeyNotFound", .unavailable(reason: "it answered 500")),
            (503, "", .unavailable(reason: "it answered 503")),
            (301, "", .unusable(reason: "it redirects, which is not followed")),
            (204, "", .unusable(reason: "it answered 204")),
        ])
    func failure(_ status: Int, _ codes: String, error: KeyVaultError?) {
        let words = codes.split(separator: " ")
        let inner = words.count == 2 ? #","innererror":{"code":"\#(words[1])"}"# : ""
        let body =
            words.isEmpty
            ? "" : #"{"error":{"code":"\#(words[0])","message":"m"\#(inner)}}"#
        #expect(
            VaultFailure.of(status: status, retryAfter: "7", body: Array(body.utf8)) == error)
    }

    @Test("Only an unwrap takes a bad parameter for something that is not of the key")
    func badParameter() {
        let body = Array(#"{"error":{"code":"BadParameter"}}"#.utf8)
        #expect(
            VaultFailure.of(status: 400, retryAfter: nil, body: body, isUnwrap: true)
                == .notAuthentic)
        #expect(
            VaultFailure.of(status: 400, retryAfter: nil, body: body)
                == .unusable(reason: "it answered 400"))
    }

    @Test("A rewrap answers for each secret, under the key that was asked for, in the same way")
    func rewrapped() throws {
        let key = WrappingKey(
            id: "https://v/keys/k/2", version: "2", algorithm: .rsaOAEP256, createdMilliseconds: 0)
        func values(_ kid: String, _ items: String, _ count: Int) throws(KeyVaultError)
            -> [Result<[UInt8], KeyVaultError>]
        {
            try VaultRewrapAnswer.values(
                Array(#"{"kid":"\#(kid)","items":[\#(items)]}"#.utf8), of: key, count: count)
        }
        let one = #"{"alg":"RSA-OAEP-256","value":"AQI"}"#
        let results = try values(
            key.id, one + #",{"error":"KeyDisabled"},{"error":"BadParameter"}"#, 3)
        #expect(
            results == [.success([1, 2]), .failure(.revoked(.disabled)), .failure(.notAuthentic)])
        for (kid, items, count) in [
            ("https://v/keys/k/1", one, 1), (key.id, one, 2), (key.id, "{}", 1),
            (key.id, #"{"alg":"A256GCM","value":"AQI"}"#, 1),
            (key.id, #"{"alg":"RSA-OAEP-256","value":"*"}"#, 1),
        ] {
            #expect {
                _ = try values(kid, items, count)
            } throws: { error in
                if case KeyVaultError.unusable = error { true } else { false }
            }
        }
    }

    @Test(
        "A pause is in whole seconds, a minute at most",
        arguments: [
            ("0", 0), ("3", 3000), ("60", 60_000), ("3600", 60_000), ("-1", nil), ("x", nil),
            ("Wed, 21 Oct 2015 07:28:00 GMT", nil), (nil, nil),
        ])
    func retryAfter(_ text: String?, milliseconds: Int64?) {
        #expect(VaultFailure.milliseconds(text) == milliseconds)
    }

    @Test("Who has failed six times is left alone for a second, and then asked by one")
    func breaker() {
        let start = ContinuousClock.now
        var breaker = CircuitBreaker()
        func admits(_ time: ContinuousClock.Instant) -> Bool { breaker.admits(at: time) }
        for _ in 0..<5 {
            breaker.failed(at: start)
            #expect(admits(start))
        }
        breaker.failed(at: start)
        #expect(!admits(start))
        #expect(!admits(start + .milliseconds(999)))
        #expect(breaker.remaining(at: start) == .seconds(1))
        #expect(admits(start + .seconds(1)))
        #expect(!admits(start + .seconds(1)))
        // Who was to find out never came back.
        #expect(admits(start + .seconds(3)))
        breaker.failed(at: start + .seconds(3))
        #expect(!admits(start + .milliseconds(3500)))
        breaker.succeeded()
        #expect(admits(start + .milliseconds(3500)))
        breaker.pause(until: start + .seconds(10))
        #expect(!admits(start + .seconds(9)))
        #expect(admits(start + .seconds(10)))
    }

    @Test(
        "A challenge is believed if it is whole",
        arguments: [
            (
                #"Bearer authorization="https://login.microsoftonline.com/t-1", resource="https://vault.azure.net""#,
                "login.microsoftonline.com t-1 https://vault.azure.net"
            ),
            (
                #"bearer authorization_uri=https://LOGIN.example:8443/t/, scope="https://vault.azure.net/.default""#,
                "login.example:8443 t https://vault.azure.net"
            ),
            (
                #"Bearer authorization="https://a/t", authorization="https://b/t", resource="r""#,
                nil
            ),
            (#"Bearer authorization="https://a/", resource="https://r""#, nil),
            (#"Bearer authorization="https://a/t?x", resource="https://r""#, nil),
            (#"Bearer authorization="https://a/t""#, nil), ("Bearer", nil), ("Bearer x", nil),
        ])
    func challenge(_ text: String, parts: String?) {
        let challenge = BearerChallenge(text)
        #expect(challenge.map { "\($0.authority) \($0.tenant) \($0.resource)" } == parts)
    }

    @Test(
        "A token is asked for a resource that the vault belongs to",
        arguments: [
            ("https://vault.azure.net", true), ("https://iris.vault.azure.net", true),
            ("https://azure.net.evil", false), ("https://ault.azure.net", false),
            ("http://vault.azure.net", false), ("vault.azure.net", false),
        ])
    func resource(_ resource: String, isOurs: Bool) throws {
        let challenge = try #require(
            BearerChallenge(#"Bearer authorization="https://a/t", resource="\#(resource)""#))
        let vault = try #require(VaultAddress("https://iris.vault.azure.net"))
        #expect(challenge.isFor(vault) == isOurs)
    }

    @Test("Events are read from any pieces, with any line ends", arguments: [1, 2, 3, 7, 1000])
    func events(pieceBytes: Int) throws {
        let text =
            ": hello\n\nid: 1\nevent: key\ndata: a\ndata:b\n\nid:2\r\ndata: c\r\n\r\n"
            + "id: bad id\rdata: d\r\rretry: 5\n\ndata\n\nevent: nothing\n\ndata: unfinished"
        var parser = EventStreamParser()
        var events: [EventStreamParser.Event] = []
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            events += try parser.read(rest.prefix(pieceBytes))
            rest = rest.dropFirst(pieceBytes)
        }
        #expect(
            events == [
                .init(name: "key", data: "a\nb"), .init(data: "c"), .init(data: "d"),
                .init(data: ""),
            ])
        #expect(parser.lastID == "2")
    }

    @Test("A line or an event without end is not followed")
    func endless() throws {
        var parser = EventStreamParser()
        let line = [UInt8](repeating: 0x61, count: EventStreamParser.maximumBytes)
        _ = try parser.read(line)
        #expect(throws: EventStreamParser.TooLarge.self) { _ = try parser.read([0x61]) }
        var other = EventStreamParser()
        #expect(throws: EventStreamParser.TooLarge.self) {
            for _ in 0..<3 { _ = try other.read(Array("data: ".utf8) + line.dropLast(9) + [0x0a]) }
        }
        // The line feeds that join lines without a value count as well.
        var empty = EventStreamParser()
        #expect(throws: EventStreamParser.TooLarge.self) {
            for _ in 0...EventStreamParser.maximumBytes { _ = try empty.read(Array("data\n".utf8)) }
        }
    }
}
