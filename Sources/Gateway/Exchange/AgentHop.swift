internal import HTTPTransport
internal import NIOCore

/// What a gateway and the agent before a model say to each other besides the client's request.
///
/// - `x-scoregate-timeout-ms`, to the agent: how long the gateway will wait for the answer.
/// - `x-scoregate-source: agent` and `x-scoregate-reason`, from the agent: the answer is its own. The
///   gateway answers instead what it would if it had met the same itself.
///
/// Neither goes further: both processes remove every `x-scoregate-` field of a message they pass on.
enum AgentHop {
    static let timeoutField: StaticString = "x-scoregate-timeout-ms"
    private static let sourceField: StaticString = "x-scoregate-source"
    private static let reasonField: StaticString = "x-scoregate-reason"

    /// What an agent does not pass on, either way.
    static let removedFields = FieldNameSet.hopByHop.union([.xScoregate, .expect])

    /// Why an agent answers itself.
    private enum Reason: CaseIterable {
        case notReady
        case timedOut
        case badBackend
        case overloaded
        /// The request, or who sent it.
        case refused

        init(_ kind: GatewayError.Kind) {
            switch kind {
            case .notReady: self = .notReady
            case .timedOut: self = .timedOut
            case .badBackend: self = .badBackend
            case .overloaded: self = .overloaded
            default: self = .refused
            }
        }

        var text: StaticString {
            switch self {
            case .notReady: "not_ready"
            case .timedOut: "timeout"
            case .badBackend: "bad_gateway"
            case .overloaded: "overloaded"
            case .refused: "refused"
            }
        }

        var kind: GatewayError.Kind {
            switch self {
            case .notReady, .refused: .notReady
            case .timedOut: .timedOut
            case .badBackend: .badBackend
            case .overloaded: .overloaded
            }
        }
    }

    /// How long the gateway waits, as it says in `head`; nil if it does not.
    ///
    /// - Throws: `.badRequest` if it is no number of milliseconds.
    static func timeout(in head: MessageHead) throws(GatewayError) -> TimeAmount? {
        guard head.index(of: .xScoregate) != nil, let field = head.index(ofName: self.timeoutField)
        else { return nil }
        let milliseconds = head.withBytes(head.fields[field].valueRange) { value -> Int64? in
            guard 1...12 ~= value.count else { return nil }
            var number = Int64(0)
            for index in value.indices {
                guard UInt8(ascii: "0")...UInt8(ascii: "9") ~= value[index] else { return nil }
                number = number * 10 + Int64(value[index] - UInt8(ascii: "0"))
            }
            return number
        }
        guard let milliseconds else {
            throw GatewayError(
                kind: .badRequest(.malformedField), source: .downstream, cause: "timeout")
        }
        return .milliseconds(milliseconds)
    }

    /// Says in an answer that it is the agent's own.
    static func mark(_ head: MessageHead, _ kind: GatewayError.Kind) {
        head.append(self.sourceField, "agent")
        head.append(self.reasonField, Reason(kind).text)
    }

    /// Why the agent answered itself, as the gateway would have met it; nil where the model did.
    static func refusal(in head: MessageHead) -> GatewayError.Kind? {
        guard head.index(of: .xScoregate) != nil, head.index(ofName: self.sourceField) != nil
        else { return nil }
        // A reason nobody knows, from an agent of another version, is a refusal.
        guard let field = head.index(ofName: self.reasonField) else { return .notReady }
        let reason = head.withBytes(head.fields[field].valueRange) { value in
            Reason.allCases.first { value.isSame(as: $0.text) }
        }
        return (reason ?? .refused).kind
    }
}

extension Span<UInt8> {
    /// Whether these bytes are `text`'s.
    fileprivate func isSame(as text: StaticString) -> Bool {
        guard self.count == text.utf8CodeUnitCount else { return false }
        for index in self.indices where unsafe self[index] != text.utf8Start[index] {
            return false
        }
        return true
    }
}
