import Testing

@testable import ServiceConfiguration

@Suite struct ProcessorAffinityTests {
    @Test(
        "the processors of a mask are counted",
        arguments: [
            ("Name:\tx\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1\n", 2),
            ("Cpus_allowed:\tffffffff,0000000f\nMems_allowed:\t1\n", 36),
            ("Cpus_allowed:\t00000000,00008000\n", 1),
            ("Cpus_allowed:\t0\n", nil), ("Cpus_allowed_list:\t0-1\n", nil), ("", nil),
        ] as [(String, Int?)])
    func mask(_ status: String, _ count: Int?) {
        #expect(ProcessorAffinity.count(in: status) == count)
    }

    @Test("there is one at least")
    func own() {
        #expect(ProcessorAffinity.count >= 1)
    }
}
