import CNghttp2
import Testing

@testable import HTTPTransport

@Suite("Memory of HTTP/2 sessions")
struct HTTP2MemoryTests {
    private let memory = HTTP2Memory()

    @Test("A block that was given back is given out again for its size, and for no other")
    func reuse() throws {
        let functions = unsafe self.memory.functions
        let data = unsafe functions.mem_user_data
        let first = unsafe try #require(functions.malloc(100, data))
        #expect(UInt(bitPattern: first) % 16 == 0)
        unsafe functions.free(first, data)
        #expect(self.memory.keptBytes == 112)
        let other = unsafe functions.malloc(113, data)
        #expect(unsafe other != first)
        #expect(unsafe functions.malloc(97, data) == first)
        #expect(self.memory.keptBytes == 0)
        unsafe functions.free(first, data)
        unsafe functions.free(other, data)
        unsafe functions.free(nil, data)
    }

    @Test("Cleared memory is clear, also where it was used before")
    func cleared() throws {
        let functions = unsafe self.memory.functions
        let data = unsafe functions.mem_user_data
        let used = unsafe try #require(functions.malloc(64, data))
        unsafe used.initializeMemory(as: UInt8.self, repeating: 0xff, count: 64)
        unsafe functions.free(used, data)
        let block = unsafe try #require(functions.calloc(8, 8, data))
        #expect(unsafe block == used)
        for offset in 0..<64 {
            #expect(unsafe block.load(fromByteOffset: offset, as: UInt8.self) == 0)
        }
        unsafe functions.free(block, data)
        #expect(unsafe functions.calloc(.max, 2, data) == nil)
    }

    @Test("A block that grows keeps what is in it", arguments: [[40, 48, 500, 4000, 90_000, 10]])
    func growth(sizes: [Int]) throws {
        let functions = unsafe self.memory.functions
        let data = unsafe functions.mem_user_data
        var block = unsafe functions.realloc(nil, 16, data)
        unsafe block?.storeBytes(of: 0x0102_0304_0506_0708, as: Int.self)
        for size in sizes {
            unsafe block = functions.realloc(block, size, data)
            #expect(unsafe block?.load(as: Int.self) == 0x0102_0304_0506_0708)
        }
        unsafe functions.free(block, data)
    }

    @Test("What is kept is bounded")
    func bound() throws {
        let functions = unsafe self.memory.functions
        let data = unsafe functions.mem_user_data
        let blocks = unsafe (0..<2000).map { _ in unsafe functions.malloc(1024, data) }
        for index in 0..<2000 { unsafe functions.free(blocks[index], data) }
        #expect(self.memory.keptBytes == 1 << 20)
    }
}
