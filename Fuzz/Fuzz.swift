// Bytes of a peer into the parsers and sessions, as libFuzzer chooses them (llvm.org/docs/LibFuzzer.html).
//
// One executable; FUZZ_TARGET says what it feeds. Built by .ci/fuzz, not by `swift build`.

internal import Foundation

/// What is fed; nil where FUZZ_TARGET names none.
private let target: (@Sendable ([UInt8]) -> Void)? = {
    switch ProcessInfo.processInfo.environment["FUZZ_TARGET"] {
    case "request": fuzzRequest
    case "response": fuzzResponse
    case "records": fuzzRecords
    case "http2-server": { unsafe server.feed($0) }
    case "http2-client": { unsafe client.feed($0) }
    default: nil
    }
}()

nonisolated(unsafe) private let server = HTTP2ServerFuzz()
nonisolated(unsafe) private let client = HTTP2ClientFuzz()

/// libFuzzer's own main: reads its arguments and calls back with each input.
@_silgen_name("LLVMFuzzerRunDriver")
private func runFuzzer(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ callback: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

@main
enum Fuzz {
    static func main() {
        guard target != nil else {
            FileHandle.standardError.write(
                Data("FUZZ_TARGET: request, response, records, http2-server, http2-client\n".utf8))
            exit(2)
        }
        var count = CommandLine.argc
        var arguments = unsafe CommandLine.unsafeArgv
        exit(
            unsafe runFuzzer(&count, &arguments) { bytes, count in
                target?(unsafe Array(UnsafeRawBufferPointer(start: bytes, count: count)))
                return 0
            })
    }
}

/// Ends the run with the input as a finding.
func require(_ condition: Bool, _ what: @autoclosure () -> String) {
    if !condition { fatalError(what()) }
}
