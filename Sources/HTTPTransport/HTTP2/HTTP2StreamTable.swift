/// The streams of one connection by number; does not own them.
///
/// Numbers of one side follow each other, so that streams rarely meet in a place: a hash table with
/// linear probing, at most half full.
@safe struct HTTP2StreamTable {
    @safe private struct Place {
        var id: Int32 = 0
        var stream: Unmanaged<HTTP2Stream>?
    }

    private var places: [Place] = []
    /// How many streams there are.
    private(set) var count = 0

    /// The stream with this number.
    ///
    /// Borrowed: its connection keeps it until it is told that the stream has closed.
    @unsafe @inline(__always)
    subscript(id: Int32) -> Unmanaged<HTTP2Stream>? {
        guard !self.places.isEmpty else { return nil }
        let mask = self.places.count &- 1
        var index = Int(id &>> 1) & mask
        while self.places[index].id != 0 {
            if self.places[index].id == id { return unsafe self.places[index].stream }
            index = (index &+ 1) & mask
        }
        return nil
    }

    /// Adds a stream with a number that none has.
    mutating func insert(_ stream: HTTP2Stream, _ id: Int32) {
        if 2 * (self.count + 1) > self.places.count { self.grow() }
        self.count += 1
        unsafe self.put(Place(id: id, stream: Unmanaged.passUnretained(stream)))
    }

    /// Removes the stream with this number, if there is one.
    mutating func remove(_ id: Int32) {
        guard !self.places.isEmpty else { return }
        let mask = self.places.count &- 1
        var hole = Int(id &>> 1) & mask
        while self.places[hole].id != id {
            guard self.places[hole].id != 0 else { return }
            hole = (hole &+ 1) & mask
        }
        self.count -= 1
        // Whoever was put behind the place for want of it moves up.
        var index = (hole &+ 1) & mask
        while self.places[index].id != 0 {
            let home = Int(self.places[index].id &>> 1) & mask
            if (index &- home) & mask >= (index &- hole) & mask {
                self.places[hole] = self.places[index]
                hole = index
            }
            index = (index &+ 1) & mask
        }
        self.places[hole] = Place()
    }

    /// All streams.
    var all: [HTTP2Stream] {
        self.places.compactMap { place in unsafe place.stream?.takeUnretainedValue() }
    }

    private mutating func put(_ place: Place) {
        let mask = self.places.count &- 1
        var index = Int(place.id &>> 1) & mask
        while self.places[index].id != 0 { index = (index &+ 1) & mask }
        self.places[index] = place
    }

    private mutating func grow() {
        let old = self.places
        self.places = Array(repeating: Place(), count: max(8, 2 * old.count))
        for place in old where place.id != 0 { self.put(place) }
    }
}
