package import HTTPTransport
package import NIOCore
package import TLS

/// Everything a load test is to do.
package struct LoadPlan: Sendable {
    /// How requests come.
    package enum Model: Sendable, Equatable {
        /// By the clock, whatever the server does.
        case open(RateProfile, Arrivals)
        /// Each when the one before it has its answer, for so many seconds.
        case closed(seconds: Double)
    }

    /// Versions of HTTP.
    package enum HTTPVersionChoice: String, Sendable, CaseIterable {
        /// What the server prefers of HTTP/2 and HTTP/1.1; HTTP/1.1 without TLS.
        case auto
        /// HTTP/1.1.
        case http1 = "1.1"
        /// HTTP/2; without TLS from the first byte.
        case http2 = "2"
    }

    /// What is asked.
    package var target: LoadTarget
    /// How requests come.
    package var model: Model
    /// The version of HTTP.
    package var http = HTTPVersionChoice.auto
    /// Event loops, each with a thread of its own.
    package var workers = 1
    /// Whether the event loops never sleep.
    package var isBusyPolling = false
    /// Connections at once, all workers together; nil for a number that fits the version of HTTP.
    package var connections: Int?
    /// Requests at once on a connection of HTTP/2.
    package var streams: Int?
    /// Requests after which a connection closes.
    package var requestsPerConnection = Int.max
    /// Time before anything is counted.
    package var warmUp = TimeAmount.zero
    /// From a request's start to its answer's end.
    package var timeout = TimeAmount.seconds(30)
    /// Requests waiting or sent at once, all workers together; what is due beyond is not sent.
    package var outstanding = 65_536
    /// What TLS is to do.
    package var tls = TLSPlan()
    /// What is sent.
    package var request = RequestPlan()
    /// How answers are read.
    package var api = InferenceAPI.raw
    /// What a good answer keeps.
    package var serviceLevel = ServiceLevel()
    /// What is done to the server on purpose.
    package var faults = FaultPlan()
    /// Commands run in mid-run.
    package var marks: [MarkPlan] = []
    /// How long the windows are whose medians are reported; nil for none.
    package var window: TimeAmount?

    /// A plan with the defaults.
    package init(target: LoadTarget, model: Model) {
        self.target = target
        self.model = model
    }

    /// How long requests are due, without the warm-up.
    package var seconds: Double {
        switch self.model {
        case .open(let profile, _): profile.seconds
        case .closed(let seconds): seconds
        }
    }
}

/// What TLS is to do in a load test.
package struct TLSPlan: Sendable {
    /// PEM file of the roots the server must lead to; nil for the system's.
    package var trustRoots: String?
    /// The certificate shown to the server.
    package var identity: TLSCertificateFiles?
    /// The SPIFFE ID the server must have, instead of the URL's host.
    package var peerIdentity: String?
    /// SNI; nil for the URL's host.
    package var serverName: String?
    /// The one version offered; nil for 1.2 and 1.3.
    package var version: TLSVersion?
    /// Cipher suites offered; nil for all of ours.
    package var cipherSuites: [TLSCipher]?
    /// Groups offered; nil for all of ours.
    package var groups: [TLSGroup]?
    /// Of the handshakes, 0 to 1, how many offer to resume.
    package var resumedShare = 0.0
    /// Where sessions are kept between runs.
    package var sessionFile: String?
    /// Whether connections are all there is: each handshake takes the place of a request.
    package var isHandshakeOnly = false

    /// The defaults.
    package init() {}

    func configuration(of target: LoadTarget, alpn: [String], timeout: TimeAmount)
        -> TLSClientConfiguration
    {
        var configuration = TLSClientConfiguration(
            trustRoots: self.trustRoots, identity: self.identity,
            peer: self.peerIdentity.map { .identity($0) } ?? .dnsName(target.host),
            serverName: self.serverName, alpn: alpn,
            minimumVersion: self.version == .tls13 ? .tls13 : .tls12,
            handshakeTimeoutMilliseconds: Int(min(timeout, .seconds(30)).nanoseconds / 1_000_000))
        configuration.maximumVersion = self.version ?? .tls13
        configuration.cipherSuites = self.cipherSuites
        configuration.groups = self.groups
        configuration.wantsTickets = self.resumedShare > 0
        return configuration
    }
}

/// What a load test sends.
package struct RequestPlan: Sendable {
    /// The method; nil for POST where there is a body, GET otherwise.
    package var method: HTTPMethod?
    /// Further fields, names in lower case.
    package var fields: [(name: String, value: String)] = []
    /// The bodies, used one after the other; none for requests without a body.
    package var payloads: [PayloadTemplate] = []
    /// Keys, with how often each is used.
    package var keys: [KeyPlan] = []
    /// Whether each request has a UUID of its own as `x-request-id`.
    package var hasRequestIDs = false

    /// The defaults.
    package init() {}
}

/// A key that requests carry.
package struct KeyPlan: Sendable {
    /// The file it is in.
    package var path: String
    /// How often it is used, in proportion to the weights of the others.
    package var weight: Double

    /// Reads `FILE` or `FILE:WEIGHT`.
    package init(_ text: String) throws(LoadError) {
        self.path = text
        self.weight = 1
        guard let colon = text.lastIndex(of: ":") else { return }
        guard let weight = Quantity.number(text[text.index(after: colon)...]), weight > 0 else {
            throw .usage("--key-file \(text): after the colon stands a weight above 0")
        }
        self.path = String(text[..<colon])
        self.weight = weight
    }
}

/// What is done to the server on purpose.
package struct FaultPlan: Sendable, Equatable {
    /// Of the requests, 0 to 1, how many are given up.
    package var cancelledShare = 0.0
    /// When they are, from their start.
    package var cancelAfter = TimeAmount.zero
    /// Bytes a second that are read of each answer's body; nil for as fast as they come.
    package var readRate: Double?
    /// Bytes a second that are sent of each request's body; nil for as fast as they go.
    package var sendRate: Double?

    /// No faults.
    package init() {}
}

/// A command run in mid-run.
package struct MarkPlan: Sendable, Equatable {
    /// From the end of the warm-up.
    package var at: TimeAmount
    /// Given to `/bin/sh -c`.
    package var command: String

    /// A command at a time.
    package init(at: TimeAmount, command: String) {
        self.at = at
        self.command = command
    }
}
