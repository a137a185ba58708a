internal import Cryptography
package import HTTPTransport
internal import NIOCore
internal import State
package import TLS

/// One leg of a service, as it was found.
package struct LegReport: Sendable, Encodable {
    /// What it is for.
    package let name: String
    /// Where it leads.
    package let address: String
    /// What keeps it from being as it should; nil if nothing does.
    package var problem: String?
    /// What protects it: the version of TLS, or that it does not leave the machine.
    package var protection: String?
    /// The cipher suite.
    package private(set) var cipher: String?
    /// The group of the key exchange.
    package private(set) var group: String?
    /// Who is at the other end, by SPIFFE ID or name; of a certificate of our own, who we are.
    package private(set) var identity: String?
    /// Who says so.
    package private(set) var issuer: String?
    /// Days until the certificate, or the key, runs out, rounded down.
    package var daysLeft: Int?
    /// How old the other end's session ticket was when it was taken in place of certificates (RFC 8446,
    /// 4.2.11); nil where none is given.
    package private(set) var ticketAgeMilliseconds: Int?
    /// What its vault says of a key.
    package var keyState: String?

    /// Nothing is known of it yet.
    package init(_ name: String, _ address: String) {
        self.name = name
        self.address = address
    }

    /// A certificate of our own, as its file has it.
    package init(_ name: String, _ address: String, chain: String) {
        self.init(name, address)
        do throws(CryptographyError) {
            let bytes = try WholeFile.read(chain, maximum: Self.maximumFileBytes)
            guard let leaf = try Certificate.chain(pem: bytes).first else {
                throw .malformed("\(chain): no certificate")
            }
            self.take(leaf)
        } catch {
            self.problem = "\(error)"
        }
    }

    /// Asks over it; whatever is answered will do.
    package mutating func ask(_ fetch: HTTPFetch) async {
        do {
            let answer = try await fetch.answer()
            if let session = answer.session {
                self.take(session)
            } else if case .unix = fetch.address {
                self.protection = "Unix socket"
            } else {
                self.protection = "loopback"
            }
        } catch let error as StreamError {
            self.problem = error.reason
        } catch {
            self.problem = "\(error)"
        }
    }

    /// Connects it, and once more with the ticket of the first time; asks nothing over it.
    package mutating func connect(
        _ address: ConnectionPool.Address, _ tls: TLSClientConfiguration
    ) async {
        do {
            let outcome = try await LegHandshake(address: address, tls: tls).run()
            self.take(outcome.session)
            self.ticketAgeMilliseconds = outcome.ticketAgeMilliseconds
        } catch let error as TLSError {
            self.problem = "TLS: \(error)"
        } catch {
            self.problem = "\(error)"
        }
    }

    /// What TLS agreed on, and with whom.
    package mutating func take(_ session: TLSSessionInfo) {
        self.protection = session.version.name
        self.cipher = session.cipher.name
        self.group = session.group?.name
        guard let peer = session.peer, let leaf = try? Certificate(der: peer.certificate) else {
            return
        }
        self.take(leaf)
    }

    /// Whose certificate it is, and how long it lasts.
    private mutating func take(_ leaf: Certificate) {
        let names = leaf.uriNames + leaf.dnsNames + leaf.ipAddresses
        self.identity = names.first ?? leaf.subject
        self.issuer = leaf.issuer
        self.daysLeft = Self.days(until: leaf.notAfter)
        if leaf.notAfter <= UnixTime.milliseconds / 1000 {
            self.problem = "the certificate has expired"
        }
    }

    /// Days from now to a second of Unix time, rounded down.
    package static func days(until second: Int64) -> Int {
        Int((Double(second - UnixTime.milliseconds / 1000) / 86_400).rounded(.down))
    }

    /// 1 MiB, as the configuration's reader allows.
    private static let maximumFileBytes = 1 << 20
}
