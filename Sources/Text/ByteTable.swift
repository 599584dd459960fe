// Hash tables for the two look-ups that encoding consists of: bytes to number, pair of tokens to merge.
// The keys lie in one flat buffer each, so that a vocabulary of 150,000 tokens is a handful of allocations.

/// A set of byte strings, numbered in the order in which they were added.
struct ByteTable: Sendable {
  private var storage: [UInt8] = []
  private var ends: [Int] = []
  private var slots: [Int32]
  private var mask: Int

  /// A table with room for `capacity` keys before it grows.
  init(capacity: Int = 64) {
    let size = slotCount(for: capacity)
    slots = [Int32](repeating: -1, count: size)
    mask = size - 1
    ends.reserveCapacity(capacity)
  }

  /// How many keys there are.
  var count: Int { ends.count }

  /// How many bytes all keys take.
  var byteCount: Int { storage.count }

  /// The number of a key, nil when it is not there.
  func find(_ key: UnsafeBufferPointer<UInt8>) -> Int? {
    let found = slots[slot(of: key)]
    return found < 0 ? nil : Int(found)
  }

  /// The number of a key, nil when it is not there.
  func find(_ key: [UInt8]) -> Int? {
    key.withUnsafeBufferPointer { find($0) }
  }

  /// The number of a key, nil when it is not there.
  func find(_ key: String) -> Int? {
    var key = key
    return key.withUTF8 { find($0) }
  }

  /// Adds a key unless it is there.
  @discardableResult
  mutating func insert(_ key: UnsafeBufferPointer<UInt8>) -> (number: Int, isNew: Bool) {
    let place = slot(of: key)
    if slots[place] >= 0 { return (Int(slots[place]), false) }
    let number = ends.count
    slots[place] = Int32(number)
    storage.append(contentsOf: key)
    ends.append(storage.count)
    if ends.count * 2 > slots.count { grow() }
    return (number, true)
  }

  /// The bytes of the key with this number.
  subscript(number: Int) -> ArraySlice<UInt8> {
    storage[(number == 0 ? 0 : ends[number - 1])..<ends[number]]
  }

  private func slot(of key: UnsafeBufferPointer<UInt8>) -> Int {
    var place = hash(key) & mask
    while slots[place] >= 0, !isKey(Int(slots[place]), key) { place = (place + 1) & mask }
    return place
  }

  private func isKey(_ number: Int, _ key: UnsafeBufferPointer<UInt8>) -> Bool {
    let start = number == 0 ? 0 : ends[number - 1]
    guard ends[number] - start == key.count else { return false }
    return storage.withUnsafeBufferPointer { storage in
      for i in 0..<key.count where storage[start + i] != key[i] { return false }
      return true
    }
  }

  private mutating func grow() {
    let size = slots.count * 2
    mask = size - 1
    slots = [Int32](repeating: -1, count: size)
    storage.withUnsafeBufferPointer { storage in
      var start = 0
      for (number, end) in ends.enumerated() {
        var place = hash(UnsafeBufferPointer(rebasing: storage[start..<end])) & mask
        while slots[place] >= 0 { place = (place + 1) & mask }
        slots[place] = Int32(number)
        start = end
      }
    }
  }
}

/// Which merge a pair of neighbouring tokens allows.
struct PairTable: Sendable {
  /// The rank (lower merges first) and the token that the pair becomes.
  struct Merge {
    var rank: UInt32
    var token: Int32
  }

  private struct Slot {
    var key: UInt64 = .max
    var merge = Merge(rank: .max, token: -1)
  }

  private var slots: [Slot]
  private let mask: Int

  /// A table with room for exactly `count` pairs.
  init(count: Int) {
    slots = [Slot](repeating: Slot(), count: slotCount(for: count))
    mask = slots.count - 1
  }

  /// The merge of a pair; its rank is `UInt32.max` when there is none.
  @inline(__always)
  subscript(left: Int32, right: Int32) -> Merge {
    get { slots[place(of: key(left, right))].merge }
    set {
      let key = key(left, right)
      slots[place(of: key)] = Slot(key: key, merge: newValue)
    }
  }

  @inline(__always)
  private func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  @inline(__always)
  private func place(of key: UInt64) -> Int {
    var place = Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 29) & mask
    while slots[place].key != key, slots[place].key != .max { place = (place + 1) & mask }
    return place
  }
}

/// A power of two that is at least twice the number of keys.
private func slotCount(for keys: Int) -> Int {
  var size = 16
  while size < keys * 2 { size *= 2 }
  return size
}

/// Multiply-and-fold over eight bytes at a time.
private func hash(_ key: UnsafeBufferPointer<UInt8>) -> Int {
  let bytes = UnsafeRawBufferPointer(key)
  var state = 0x9E37_79B9_7F4A_7C15 ^ UInt64(bytes.count)
  var i = 0
  while i + 8 <= bytes.count {
    mix(&state, bytes.loadUnaligned(fromByteOffset: i, as: UInt64.self))
    i += 8
  }
  var tail: UInt64 = 0
  while i < bytes.count {
    tail = tail << 8 | UInt64(bytes[i])
    i += 1
  }
  mix(&state, tail)
  return Int(truncatingIfNeeded: state ^ state >> 32)
}

@inline(__always)
private func mix(_ state: inout UInt64, _ word: UInt64) {
  let product = (state ^ word).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
  state = product.high ^ product.low
}
