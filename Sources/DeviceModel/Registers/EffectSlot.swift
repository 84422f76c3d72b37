import VFIOUser

/// Holds a block's effect closure where calling it needs neither a retain nor a release, which
/// would cost more than the access itself.
@safe
final class EffectSlot {
  /// The closure as a constant of an object, so that a call borrows it from the object.
  private final class Box {
    let body: AnyRegisterBlock.Effect
    init(_ body: @escaping AnyRegisterBlock.Effect) { self.body = body }
  }

  /// Every effect there ever was: one that is running may have replaced itself.
  private var kept: [Box] = []
  private var current: Unmanaged<Box>?

  /// The closure; nil for none. Replaced ones are kept until the slot ends.
  var effect: AnyRegisterBlock.Effect? {
    // Safety: `kept` owns the box.
    get { unsafe current?.takeUnretainedValue().body }
    set {
      unsafe current = nil
      guard let newValue else { return }
      let box = Box(newValue)
      kept.append(box)
      // Safety: `kept` owns the box for as long as this slot lives.
      unsafe current = Unmanaged.passUnretained(box)
    }
  }

  /// Calls the closure, if there is one.
  @inline(__always)
  func call(_ effect: inout RegisterEffect) throws(Errno) {
    guard let current = unsafe current else { return }
    var failure: Errno?
    // Safety: `kept` owns the box, and the block that calls owns this slot.
    unsafe current._withUnsafeGuaranteedRef { box in
      do throws(Errno) { try box.body(&effect) } catch { failure = error }
    }
    if let failure { throw failure }
  }
}
