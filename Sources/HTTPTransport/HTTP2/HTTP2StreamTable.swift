/// The streams of one connection by number; does not own them.
///
/// Numbers of one side follow each other, so that streams rarely meet in a place: a hash table at most
/// half full, in which who is farther from home goes first (Robin Hood hashing). So nobody is looked for
/// behind one who is nearer, and a gap closes with the first who is at home.
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
        guard let index = self.index(of: id) else { return nil }
        return unsafe self.places[index].stream
    }

    /// Adds a stream with a number that none has.
    mutating func insert(_ stream: HTTP2Stream, _ id: Int32) {
        if 2 * (self.count + 1) > self.places.count { self.grow() }
        self.count += 1
        unsafe self.put(Place(id: id, stream: Unmanaged.passUnretained(stream)))
    }

    /// Removes the stream with this number, if there is one.
    mutating func remove(_ id: Int32) {
        guard var hole = self.index(of: id) else { return }
        self.count -= 1
        let mask = self.places.count &- 1
        var next = (hole &+ 1) & mask
        while self.places[next].id != 0, self.distance(next) > 0 {
            self.places[hole] = self.places[next]
            hole = next
            next = (next &+ 1) & mask
        }
        self.places[hole] = Place()
    }

    /// All streams.
    var all: [HTTP2Stream] {
        self.places.compactMap { place in unsafe place.stream?.takeUnretainedValue() }
    }

    @inline(__always)
    private func index(of id: Int32) -> Int? {
        guard !self.places.isEmpty else { return nil }
        let mask = self.places.count &- 1
        var index = Int(id &>> 1) & mask
        var distance = 0
        while self.places[index].id != id {
            guard self.places[index].id != 0, distance <= self.distance(index) else { return nil }
            index = (index &+ 1) & mask
            distance &+= 1
        }
        return index
    }

    /// How far the stream at this place is from where its number would have it.
    @inline(__always)
    private func distance(_ index: Int) -> Int {
        let mask = self.places.count &- 1
        return (index &- Int(self.places[index].id &>> 1) & mask) & mask
    }

    private mutating func put(_ place: Place) {
        let mask = self.places.count &- 1
        var place = place
        var index = Int(place.id &>> 1) & mask
        var distance = 0
        while self.places[index].id != 0 {
            let other = self.distance(index)
            if other < distance {
                swap(&place, &self.places[index])
                distance = other
            }
            index = (index &+ 1) & mask
            distance &+= 1
        }
        self.places[index] = place
    }

    private mutating func grow() {
        let old = self.places
        self.places = Array(repeating: Place(), count: max(8, 2 * old.count))
        for place in old where place.id != 0 { self.put(place) }
    }
}
