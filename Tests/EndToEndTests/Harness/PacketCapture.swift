import Foundation
import Synchronization

/// What crosses the loopback interface on some ports, as a tap on the wire has it.
///
/// A packet socket (packet(7)) of this process, which needs the right CAP_NET_RAW. Each direction of
/// each connection is put together from its first byte on and looked at as it comes; no bytes are kept.
final class PacketCapture: Sendable {
    /// One direction of one connection.
    struct Direction {
        let sourcePort: Int
        let targetPort: Int
        fileprivate(set) var records = TLSRecordStream()
        fileprivate var next: UInt32
        /// What came before what it follows, by sequence number.
        fileprivate var early: [UInt32: [UInt8]] = [:]

        /// What is not as it should be on a leg of TLS, from its first byte to its last.
        var problem: String? {
            if let problem = self.records.problem { return problem }
            if !self.early.isEmpty { return "not all packets were captured" }
            return self.records.isWhole ? nil : "it ends within a record"
        }
    }

    private struct State {
        var directions: [Direction] = []
        /// The present one between two ports.
        var places: [UInt32: Int] = [:]
        var isStopping = false
    }

    private let state = Mutex(State())
    private let hasEnded = DispatchSemaphore(value: 0)

    /// Whether this process may open a packet socket; says so where it may not.
    static var isPossible: Bool {
        let socket = Self.open()
        guard socket >= 0 else {
            print("SKIPPED: a packet capture needs CAP_NET_RAW")
            return false
        }
        close(socket)
        return true
    }

    /// Begins to capture what is sent to and from `ports`.
    init(ports: [Int]) throws {
        let socket = Self.open()
        guard socket >= 0, Self.filter(socket, ports) else {
            throw HarnessError.commandFailed("packet socket: errno \(errno)")
        }
        Thread.detachNewThread { self.run(socket) }
    }

    /// Ends it when all that was sent until now is read.
    func stop() -> [Direction] {
        self.state.withLock { $0.isStopping = true }
        self.hasEnded.wait()
        return self.state.withLock { $0.directions }
    }

    private func run(_ socket: Int32) {
        var buffer = [UInt8](repeating: 0, count: Self.maximumPacketBytes)
        while true {
            let count = unsafe recv(socket, &buffer, buffer.count, 0)
            if count > 0 {
                self.take(buffer[..<count])
            } else if self.state.withLock({ $0.isStopping }) {
                // The socket has a time limit: nothing is left to be read.
                break
            }
        }
        close(socket)
        self.hasEnded.signal()
    }

    /// Takes one IP packet; each comes twice, when it is sent and when it is received.
    private func take(_ packet: ArraySlice<UInt8>) {
        guard packet.count >= 20, packet[0] >> 4 == 4, packet[9] == 6 else { return }
        let start = Int(packet[0] & 15) * 4
        // A packet that the kernel did not cut up yet has no length in its header.
        guard packet.count >= start + 20 else { return }
        let (source, target) = (packet.word16(start), packet.word16(start + 2))
        let sequence = UInt32(packet.word16(start + 4)) << 16 | UInt32(packet.word16(start + 6))
        let body = packet.dropFirst(start + Int(packet[start + 12] >> 4) * 4)
        let isBeginning = packet[start + 13] & 2 != 0
        self.state.withLock { state in
            let key = UInt32(source) << 16 | UInt32(target)
            if isBeginning {
                if let place = state.places[key], state.directions[place].next == sequence &+ 1 {
                    return
                }
                state.places[key] = state.directions.count
                state.directions.append(
                    Direction(
                        sourcePort: source, targetPort: target, next: sequence &+ 1))
            } else if let place = state.places[key], !body.isEmpty {
                state.directions[place].take(body, at: sequence)
            }
        }
    }

    private static func open() -> Int32 {
        let internet = Int32(UInt16(0x0800).bigEndian)
        return socket(AF_PACKET, Int32(SOCK_DGRAM.rawValue), internet)
    }

    /// Lets `socket` have the packets of `ports` only, so that no load elsewhere makes it lose them.
    private static func filter(_ socket: Int32, _ ports: [Int]) -> Bool {
        // Instructions of bpf(4): code, jump if true, jump if false, operand.
        func instruction(_ code: UInt64, _ yes: Int = 0, _ no: Int = 0, _ operand: Int = 0)
            -> UInt64
        {
            code | UInt64(yes) << 16 | UInt64(no) << 24 | UInt64(operand) << 32
        }
        let count = ports.count
        var program = [instruction(0xb1), instruction(0x48)]  // X = header bytes; A = source port
        for (place, port) in ports.enumerated() {
            program.append(instruction(0x15, 2 * count + 1 - place, 0, port))
        }
        program.append(instruction(0x48, 0, 0, 2))  // A = target port
        for (place, port) in ports.enumerated() {
            program.append(instruction(0x15, count - place, 0, port))
        }
        program += [instruction(0x06), instruction(0x06, 0, 0, self.maximumPacketBytes)]
        var limit = timeval(tv_sec: 0, tv_usec: 100_000)
        var size = Int32(8 << 20)
        return unsafe program.withUnsafeMutableBytes { code in
            var header = [UInt(code.count / 8), UInt(bitPattern: code.baseAddress)]
            unsafe setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &size, 4)
            return unsafe setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &header, 16) == 0
                && setsockopt(
                    socket, SOL_SOCKET, SO_RCVTIMEO, &limit, UInt32(MemoryLayout<timeval>.size))
                    == 0
        }
    }

    /// 128 KiB: the loopback interface has packets of 64 KiB.
    private static let maximumPacketBytes = 1 << 17
}

extension PacketCapture.Direction {
    /// Takes a segment, whose bytes may have come before.
    fileprivate mutating func take(_ bytes: ArraySlice<UInt8>, at sequence: UInt32) {
        let ahead = Int(Int32(bitPattern: sequence &- self.next))
        guard ahead <= 0 else {
            if self.early.count < Self.mostEarly { self.early[sequence] = Array(bytes) }
            return
        }
        let fresh = bytes.dropFirst(-ahead)
        guard !fresh.isEmpty else { return }
        self.records.take(fresh)
        self.next &+= UInt32(fresh.count)
        for (sequence, bytes) in self.early
        where Int32(bitPattern: sequence &- self.next) <= 0 {
            self.early[sequence] = nil
            self.take(bytes[...], at: sequence)
        }
    }

    private static let mostEarly = 1024
}

extension ArraySlice<UInt8> {
    fileprivate func word16(_ index: Int) -> Int { Int(self[index]) << 8 | Int(self[index + 1]) }
}
