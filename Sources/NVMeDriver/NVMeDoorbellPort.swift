import CVFIOUserLinux
import VFIOUser

/// What a doorbell is rung by other than its register: an eventfd, or a port that carries the value.
///
/// Threads: any.
final class NVMeDoorbellPort: Sendable {
  private enum Way: Sendable {
    case event(EventDescriptorBox)
    case port(any IORegionPort, RegionIODescriptor)
  }

  private let way: Way

  /// An eventfd, which is duplicated.
  init(event raw: CInt) throws(NVMeDriverError) {
    let copy = cvfu_duplicate(raw)
    guard copy >= 0 else { throw NVMeDriverError(.connection, "no descriptor is left") }
    do throws(Errno) {
      way = .event(
        EventDescriptorBox(try EventDescriptor(adopting: OwnedDescriptor(adopting: copy))))
    } catch {
      throw NVMeDriverError(.connection, "the device sent something else than an eventfd")
    }
  }

  /// A part of a region behind a port.
  init(_ port: any IORegionPort, _ part: RegionIODescriptor) {
    way = .port(port, part)
  }

  /// Rings the doorbell at `offset` from the start of the region.
  func ring(_ value: UInt32, at offset: RegionOffset) throws(NVMeDriverError) {
    switch way {
    case .event(let event): event.signal()
    case .port(let port, let part):
      let command = IORegionCommand.write(
        UInt64(value), at: offset.rawValue - part.offset.rawValue, byteCount: 4,
        userData: part.value,
        isPosted: part.flags & RegionIODescriptor.Flags.regionPostsWrites != 0)
      var progress = IORegionProgress()
      while true {
        switch port.perform(command, &progress) {
        case .done: return
        case .interrupted: continue
        case .failed(let failure):
          throw NVMeDriverError(.connection, "cannot ring a doorbell: \(failure)")
        }
      }
    }
  }
}
