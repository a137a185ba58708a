internal import ArgumentParser
internal import LoadTest

/// More than one run.
struct LoadComparisonOptions: ParsableArguments {
    @Flag(
        help: """
            Find the highest rate that keeps every --fail-if: --rate is where the search begins, \
            --duration how long each trial takes.
            """)
    var findMax = false

    @Option(help: "Compare with another URL: each --duration long, in turn, --rounds times.")
    var vs: String?

    @Option(help: "How often --vs asks both.")
    var rounds = 5

    @Option(help: "As --connect-to, for --vs.")
    var vsConnectTo: String?

    @Option(help: "Keys for --vs instead of those of --key-file.")
    var vsKeyFile: [String] = []

    @Flag(help: "Send no key to --vs.")
    var vsNoKey = false

    func apply(toSecond plan: inout LoadPlan) throws(LoadError) {
        if self.vsNoKey || !self.vsKeyFile.isEmpty { plan.request.keys = [] }
        for text in self.vsKeyFile { plan.request.keys.append(try KeyPlan(text)) }
    }

    func validate() throws {
        guard self.vs == nil || !self.findMax else {
            throw ValidationError("either --find-max or --vs")
        }
        guard (1...1000).contains(self.rounds) else {
            throw ValidationError("--rounds \(self.rounds): a number of 1 to 1000")
        }
        guard self.vs != nil || (self.vsConnectTo == nil && self.vsKeyFile.isEmpty && !self.vsNoKey)
        else { throw ValidationError("--vs-… without --vs") }
    }
}
