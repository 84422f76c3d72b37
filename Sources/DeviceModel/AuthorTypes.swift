import VFIOUser

// What a device author needs of the protocol core, so that a device imports this module alone.

/// An error of the operating system; a handler throws one, and the client gets it as its reply.
public typealias Errno = VFIOUser.Errno
/// A place in a region, in bytes from its start.
public typealias RegionOffset = VFIOUser.RegionOffset
/// What answers the accesses to a range of a region.
public typealias RegionHandler = VFIOUser.RegionHandler
/// What a handler may ask about the access that it answers.
public typealias AccessContext = VFIOUser.AccessContext
/// The reply to an access that is answered later.
public typealias DeferredReply = VFIOUser.DeferredReply
/// A loop's view of guest memory.
public typealias DMAEngine = VFIOUser.DMAEngine
/// An address in guest memory, as the device puts it on its bus.
public typealias DMAAddress = VFIOUser.DMAAddress
/// A span of guest memory.
public typealias DMARange = VFIOUser.DMARange
/// Why guest memory could not be reached.
public typealias DMAError = VFIOUser.DMAError
/// What a reset comes from.
public typealias ResetKind = VFIOUser.ResetKind
/// Why a device is asked to be quiet.
public typealias QuiesceReason = VFIOUser.QuiesceReason
/// Whether a device is quiet.
public typealias Quiescence = VFIOUser.Quiescence
/// How a device says that it is quiet now.
public typealias QuiesceCompletion = VFIOUser.QuiesceCompletion
/// The loop that runs a device.
public typealias EventLoop = VFIOUser.EventLoop
/// A moment of the clock that a device's waits are measured with.
public typealias MonotonicTime = VFIOUser.MonotonicTime
