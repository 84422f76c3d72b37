import CKVMLinux
import VFIOUser

extension VirtualMachine {
  /// Makes a write of the guest signal an eventfd, without an exit.
  ///
  /// - Throws: `EEXIST` when another event takes that write, `ENOENT`, `EINVAL`, `ENOSPC`.
  public func register(_ event: IOEvent) throws(KVMError) { try set(event, assign: true) }

  /// Ends what `register` began.
  ///
  /// - Throws: `ENOENT` when no event is just this one, its descriptor included.
  public func unregister(_ event: IOEvent) throws(KVMError) { try set(event, assign: false) }

  private func set(_ event: IOEvent, assign: Bool) throws(KVMError) {
    let width = event.byteCount == 0 ? "any width" : "\(event.byteCount) bytes"
    let value = event.matching.map { ", value \(GuestAddress($0))" } ?? ""
    let context =
      "\(event.space == .port ? "port" : "memory") \(event.address), \(width)\(value)"
    guard let byteCount = UInt32(exactly: event.byteCount) else {
      throw KVMError(.ioEvent, .invalidArgument, context)
    }
    let result = ckvm_io_event(
      descriptor.rawValue, event.descriptor, assign, event.space == .port, event.address.rawValue,
      byteCount, event.matching != nil, event.matching ?? 0)
    _ = try KVMError.check(result, .ioEvent, context)
  }
}

extension VirtualMachine: Hypervisor {
  /// As ``map(_:)``, with the kernel's error alone.
  public func addMemory(_ slot: MemorySlot) throws(Errno) {
    do { try map(slot) } catch { throw error.errno }
  }

  /// As ``unmap(at:)``, with the kernel's error alone.
  public func removeMemory(at address: GuestAddress) throws(Errno) {
    do { try unmap(at: address) } catch { throw error.errno }
  }

  /// As ``register(_:)``, with the kernel's error alone.
  public func assign(_ event: IOEvent) throws(Errno) {
    do { try register(event) } catch { throw error.errno }
  }

  /// As ``unregister(_:)``, with the kernel's error alone.
  public func deassign(_ event: IOEvent) throws(Errno) {
    do { try unregister(event) } catch { throw error.errno }
  }

  /// None: no kernel has `KVM_SET_IOREGION`.
  public var ioRegionProvider: (any IORegionProvider)? { nil }
}
