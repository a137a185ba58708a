internal import ArgumentParser

@main
struct Scoregate: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "scoregate")
}
