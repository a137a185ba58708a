import CNghttp2
import Testing

/// nghttp2's HPACK, to hold ours against.
enum NGHTTP2 {
    /// Reads header blocks.
    @safe final class Inflater {
        private var inflater: OpaquePointer?

        init() { unsafe nghttp2_hd_inflate_new(&self.inflater) }

        deinit { unsafe nghttp2_hd_inflate_del(self.inflater) }

        /// The bytes of its table.
        var tableBytes: Int { unsafe nghttp2_hd_inflate_get_dynamic_table_size(self.inflater) }

        /// Allows a table of so many bytes.
        func setTableBytes(_ bytes: Int) {
            unsafe nghttp2_hd_inflate_change_table_size(self.inflater, bytes)
        }

        /// The fields of a block, name and value on a line; `!` before those that no table may have.
        func lines(_ block: [UInt8]) throws -> [String] {
            var lines: [String] = []
            var rest = block[...]
            while true {
                var field = unsafe nghttp2_nv()
                var flags: CInt = 0
                let count = unsafe rest.withUnsafeBufferPointer {
                    unsafe nghttp2_hd_inflate_hd2(
                        self.inflater, &field, &flags, $0.baseAddress, $0.count, 1)
                }
                try #require(count >= 0)
                rest = rest.dropFirst(count)
                if flags & CInt(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
                    let name = unsafe UnsafeBufferPointer(start: field.name, count: field.namelen)
                    let value = unsafe UnsafeBufferPointer(
                        start: field.value, count: field.valuelen)
                    let isSecret =
                        unsafe UInt32(field.flags) & NGHTTP2_NV_FLAG_NO_INDEX.rawValue != 0
                    lines.append(
                        unsafe "\(isSecret ? "!" : "")\(String(decoding: name, as: UTF8.self)): "
                            + String(decoding: value, as: UTF8.self))
                }
                if flags & CInt(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 { break }
            }
            unsafe nghttp2_hd_inflate_end_headers(self.inflater)
            return lines
        }
    }

    /// Writes header blocks.
    @safe final class Deflater {
        private var deflater: OpaquePointer?

        init() { unsafe nghttp2_hd_deflate_new(&self.deflater, 4096) }

        deinit { unsafe nghttp2_hd_deflate_del(self.deflater) }

        func setTableBytes(_ bytes: Int) {
            unsafe nghttp2_hd_deflate_change_table_size(self.deflater, bytes)
        }

        func block(_ fields: [(name: String, value: String)]) throws -> [UInt8] {
            var texts: [UnsafeMutableBufferPointer<UInt8>] = unsafe []
            defer { for index in unsafe texts.indices { unsafe texts[index].deallocate() } }
            var pairs: [nghttp2_nv] = unsafe []
            for (name, value) in fields {
                let copies = unsafe [name, value].map { text in
                    let copy = UnsafeMutableBufferPointer<UInt8>.allocate(
                        capacity: text.utf8.count)
                    _ = unsafe copy.initialize(from: text.utf8)
                    return unsafe copy
                }
                unsafe texts += copies
                unsafe pairs.append(
                    nghttp2_nv(
                        name: copies[0].baseAddress, value: copies[1].baseAddress,
                        namelen: copies[0].count, valuelen: copies[1].count, flags: 0))
            }
            let room = unsafe nghttp2_hd_deflate_bound(self.deflater, pairs, pairs.count)
            var block = [UInt8](repeating: 0, count: room)
            let count = unsafe nghttp2_hd_deflate_hd(
                self.deflater, &block, room, pairs, pairs.count)
            try #require(count >= 0)
            return Array(block[..<count])
        }
    }
}
