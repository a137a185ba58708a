import Testing

@Suite("Guessing keys", .serialized, .stage())
struct KeyGuessingTests {
    @Test("After 20 refusals a minute each further one waits 250 ms; a right key never does")
    func slowsDown() async throws {
        let stage = try Stage.current
        let wrong = stage.request().replacing(stage.key, with: "wrong")
        let client = try await stage.connect()
        func time(_ request: String, _ status: Int) async throws -> Duration {
            let before = await client.answers(0).count
            let start = ContinuousClock.now
            await client.send(request)
            #expect(await client.answers(before + 1).last?.status == status)
            return ContinuousClock.now - start
        }
        for _ in 0..<20 { _ = try await time(wrong, 401) }
        // On a slow machine some of the twenty are forgiven before the next are sent.
        var late = 0
        for _ in 0..<40 where late < 3 {
            if try await time(wrong, 401) >= .milliseconds(245) { late += 1 }
        }
        #expect(late == 3)
        var quickest = Duration.seconds(1)
        for _ in 0..<20 where quickest >= .milliseconds(245) {
            quickest = min(quickest, try await time(stage.request(), 200))
        }
        #expect(quickest < .milliseconds(245))
    }
}
