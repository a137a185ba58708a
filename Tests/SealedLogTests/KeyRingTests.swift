import Testing

@testable import SealedLog

@Suite("The key ring") struct KeyRingTests {
    /// A ring with three entries, and what is to take their place.
    private struct Ring {
        let files = MemoryFiles()
        let ring: KeyRing
        let old: [KeyRingEntry]
        let new: [KeyRingEntry]

        init() throws {
            let vault = try TestVault()
            self.ring = KeyRing(log: "log", self.files)
            try self.ring.prepare(log: "log")
            self.old = try (0..<3).map { _ in
                try vault.entry(for: .make(streamID: .random(), createdMilliseconds: 1))
            }
            self.new = self.old.map { entry in
                var entry = entry
                entry.wrappingKey = "test/2"
                return entry
            }
            try self.ring.store(self.old)
        }

        /// How many entries of `files` are new; each must be what it was or what it was to become.
        func renewed(in files: MemoryFiles) throws -> Int {
            let ring = KeyRing(log: "log", files)
            return try zip(self.old, self.new).count { old, new in
                let entry = try ring.entry(old.logKeyID)
                #expect(entry == old || entry == new)
                return entry == new
            }
        }
    }

    @Test(
        "entries stored together are each old or new, whichever call fails, and can be stored again"
    )
    func failingCalls() throws {
        var call = 1
        while true {
            let ring = try Ring()
            ring.files.failingCall = ring.files.calls + call
            let isStored = (try? ring.ring.store(ring.new)) != nil
            let wasReached = ring.files.calls >= ring.files.failingCall
            ring.files.failingCall = .max
            #expect(isStored == !wasReached, "call \(call)")
            let renewed = try ring.renewed(in: ring.files)
            #expect(!isStored || renewed == 3)
            #expect(ring.files.openFiles == 0, "call \(call)")
            try ring.ring.store(ring.new)
            #expect(try ring.renewed(in: ring.files) == 3)
            #expect(try ring.ring.ids().count == 3)
            guard wasReached else { break }
            call += 1
        }
        #expect(call > 10)
    }

    @Test(
        "entries stored together are each old or new wherever the power is lost, and all new after it"
    )
    func powerCut() throws {
        let ring = try Ring()
        let before = ring.files.operations.count
        try ring.ring.store(ring.new)
        let after = ring.files.operations.count
        var random = SeededRandom(state: 7)
        for cut in before...after {
            for _ in 0..<20 {
                let disk = ring.files.afterPowerCut(at: cut, &random)
                let renewed = try ring.renewed(in: disk)
                #expect(cut < after || renewed == 3, "cut \(cut)")
            }
        }
    }
}
