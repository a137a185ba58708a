import Testing

@testable import SealedLog

/// What an operator reads of a failure.
@Suite struct SealedLogErrorTests {
    @Test(
        "errors are told in words",
        arguments: [
            (
                SealedLogError.file(operation: "fallocate", path: "/log/reserve", errno: 28),
                "/log/reserve: fallocate: No space left on device"
            ),
            (
                .locked(holder: "scoregate, process 7"), "it is in use by scoregate, process 7"
            ),
            (
                .keyRing(path: "keyring/a", .fromTheFuture(format: 9)),
                "keyring/a: it has format 9, which this version does not know"
            ),
            (.keyRing(path: "keyring/a", .missing), "keyring/a: there is no such log key"),
            (
                .segment(.frameHeader, path: "a.sgl", frame: 3),
                "a.sgl: frame-header at frame 3"
            ),
            (.revoked, "the wrapping key cannot be used"),
        ])
    func words(_ error: SealedLogError, _ text: String) {
        #expect("\(error)" == text)
    }
}
