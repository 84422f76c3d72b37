/// A table of fixed length in memory of its own, for the tables of the data path.
///
/// An array inside a class costs a retain, a release and an exclusivity check with each access;
/// this costs a bounds check. It has the semantics of a reference that cannot be copied: the
/// subscript's setter does not mutate the table value itself.
@safe
struct OwnedTable<Element: BitwiseCopyable>: ~Copyable {
  private let base: UnsafeMutablePointer<Element>
  /// How many elements.
  let count: Int

  /// Makes a table of `count` elements, each `value`.
  init(repeating value: Element, count: Int) {
    precondition(count >= 0)
    // Safety: allocated here for `count` elements, initialised before anyone reads, freed in deinit.
    unsafe base = .allocate(capacity: max(count, 1))
    unsafe base.initialize(repeating: value, count: count)
    self.count = count
  }

  /// Makes a table from the elements of an array.
  init(_ elements: [Element], else filler: Element) {
    self.init(repeating: filler, count: elements.count)
    for (position, element) in elements.enumerated() { self[position] = element }
  }

  deinit {
    // Safety: the one owner ends here; elements are bitwise copyable and need no deinitialisation.
    unsafe base.deallocate()
  }

  /// The element at `position`; traps outside the table, which callers prevent.
  subscript(position: Int) -> Element {
    @inline(__always) get {
      precondition(UInt(bitPattern: position) < UInt(bitPattern: count))
      // Safety: in bounds, as just checked, and initialised since init.
      return unsafe base[position]
    }
    @inline(__always) nonmutating set {
      precondition(UInt(bitPattern: position) < UInt(bitPattern: count))
      // Safety: in bounds, as just checked, and initialised since init.
      unsafe base[position] = newValue
    }
  }
}
