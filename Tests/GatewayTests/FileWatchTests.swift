import Foundation
import ServiceConfiguration
import Testing

@testable import Gateway

@Suite("Watched files")
struct FileWatchTests {
    @Test("a replaced, removed or new file is noticed once; one that stays is not")
    func changes() throws {
        let folder = try ConfigurationFolder()
        let configuration = try folder.read(ConfigurationFileTests.valid)
        let watch = FileWatch(FileWatch.Files(configuration))
        #expect(!watch.hasChanged())
        let key = try String(contentsOfFile: "\(folder.path)/gateway.key", encoding: .utf8)
        try folder.write("gateway.key", "\(key)\n")
        #expect(watch.hasChanged())
        #expect(!watch.hasChanged())
        try FileManager.default.removeItem(atPath: "\(folder.path)/gateway.key")
        #expect(watch.hasChanged())
        #expect(!watch.hasChanged())
        try folder.write("gateway.key", key)
        #expect(watch.hasChanged())
        #expect(!watch.hasChanged())
    }

    @Test("files that a reload has named are no change, but their change after it is")
    func follow() throws {
        let folder = try ConfigurationFolder()
        var configuration = try folder.read(ConfigurationFileTests.valid)
        let watch = FileWatch(FileWatch.Files(configuration))
        let path = "\(folder.path)/other.key"
        try folder.write("other.key", "x")
        configuration.listeners[0].tls.certificates[0].key = path
        let files = FileWatch.Files(configuration)
        try folder.write("other.key", "xy")
        watch.follow(files)
        #expect(watch.hasChanged())
        #expect(!watch.hasChanged())
    }
}
