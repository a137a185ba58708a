package import Cryptography
internal import Foundation
internal import Synchronization

/// Tells subscribers what changed: keys, the deny list, the trust bundle.
///
/// An event has an id, `<start of the process>-<number>`. A subscriber that names the last id it saw
/// gets what came after it, as long as that is kept; otherwise an event `reset` first, on which it
/// reads everything anew. A subscriber that does not keep up is let go.
package final class EventPublisher: Sendable {
    /// Whether the peer with an identity may hear of an event; asked when it is sent.
    package typealias Audience = @Sendable (SPIFFEID) -> Bool

    private struct Event {
        let number: Int
        let text: [UInt8]
        let audience: Audience
    }

    private struct Subscriber {
        let identity: SPIFFEID
        let pieces: AsyncStream<[UInt8]>.Continuation
    }

    private struct State {
        var events: [Event] = []
        var next = 1
        var subscribers: [Int: Subscriber] = [:]
        var nextSubscriber = 0
        var isOver = false
    }

    private let epoch: String
    private let state = Mutex(State())

    /// A publisher without events.
    package init(now: Int64) { self.epoch = String(now, radix: 36) }

    /// Sends an event to all that may hear of it.
    ///
    /// - Parameters:
    ///   - type: The event's name: letters and dashes.
    ///   - data: One line, JSON.
    ///   - audience: Who may hear of it.
    package func publish(
        _ type: String, data: String, to audience: @escaping Audience = { _ in true }
    ) {
        self.state.withLock { state in
            let number = state.next
            state.next += 1
            let event = Event(
                number: number,
                text: Array("id: \(self.epoch)-\(number)\nevent: \(type)\ndata: \(data)\n\n".utf8),
                audience: audience)
            state.events.append(event)
            if state.events.count > Self.keptEvents { state.events.removeFirst() }
            for (key, subscriber) in state.subscribers where audience(subscriber.identity) {
                Self.send(event.text, to: key, subscriber, &state)
            }
        }
    }

    /// The pieces of a stream of events for one peer, which says the id of the last event it saw, or
    /// nil if it saw none.
    package func subscribe(_ identity: SPIFFEID, after last: String?) -> AsyncStream<[UInt8]> {
        let (stream, pieces) = AsyncStream.makeStream(
            of: [UInt8].self, bufferingPolicy: .bufferingOldest(Self.queuedPieces))
        self.state.withLock { state in
            guard !state.isOver else {
                pieces.finish()
                return
            }
            pieces.yield(Array("retry: 1000\n\n".utf8))
            if let seen = self.number(of: last, state) {
                for event in state.events where event.number > seen && event.audience(identity) {
                    pieces.yield(event.text)
                }
            } else if last != nil {
                let id = "\(self.epoch)-\(state.next - 1)"
                pieces.yield(Array("id: \(id)\nevent: reset\ndata: {}\n\n".utf8))
            }
            let key = state.nextSubscriber
            state.nextSubscriber += 1
            state.subscribers[key] = Subscriber(identity: identity, pieces: pieces)
            pieces.onTermination = { [weak self] _ in
                // Not at once: a stream may end while the lock is held.
                Task { self?.remove(key) }
            }
        }
        return stream
    }

    /// Sends a comment to every subscriber, so that each knows that the vault is there.
    package func beat() {
        self.state.withLock { state in
            for (key, subscriber) in state.subscribers {
                Self.send(Self.heartbeat, to: key, subscriber, &state)
            }
        }
    }

    /// Ends all streams, and those that are begun later.
    package func finish() {
        let subscribers = self.state.withLock { state in
            defer { state.subscribers = [:] }
            state.isOver = true
            return Array(state.subscribers.values)
        }
        for subscriber in subscribers { subscriber.pieces.finish() }
    }

    /// How many subscribers there are.
    package var subscriberCount: Int { self.state.withLock { $0.subscribers.count } }

    private func remove(_ key: Int) {
        self.state.withLock { _ = $0.subscribers.removeValue(forKey: key) }
    }

    private static func send(
        _ text: [UInt8], to key: Int, _ subscriber: Subscriber, _ state: inout State
    ) {
        if case .enqueued = subscriber.pieces.yield(text) { return }
        // It does not read, and would miss this one: it has to come again and say what it saw.
        state.subscribers[key] = nil
        subscriber.pieces.finish()
    }

    /// The number in an id of ours of which everything after is kept.
    private func number(of id: String?, _ state: State) -> Int? {
        guard let parts = id?.split(separator: "-", omittingEmptySubsequences: false),
            parts.count == 2, parts[0] == self.epoch,
            let number = Int(parts[1]), number < state.next,
            number >= (state.events.first?.number ?? state.next) - 1
        else { return nil }
        return number
    }

    private static let heartbeat = Array(": beat\n\n".utf8)
    /// 1,024 events: half an hour at a change every two seconds.
    private static let keptEvents = 1_024
    /// 2,048 pieces a subscriber: all that is kept, and a quarter of an hour of heartbeats.
    private static let queuedPieces = 2_048
}
