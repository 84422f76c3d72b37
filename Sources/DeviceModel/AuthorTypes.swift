import VFIOUser

// What a device author needs of the protocol core, so that a device imports this module alone.

/// An error of the operating system; a handler throws one, and the client gets it as its reply.
public typealias Errno = VFIOUser.Errno
/// A place in a region, in bytes from its start.
public typealias RegionOffset = VFIOUser.RegionOffset
/// How a part of a region wishes to be reached.
public typealias RegionPath = VFIOUser.RegionPath
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
/// What a device may do with guest memory.
public typealias DMARights = VFIOUser.DMARights
/// A range of guest memory that a device comes back to.
public typealias DMAWindow = VFIOUser.DMAWindow
/// Where the bytes of one transfer lie.
public typealias DMAScatterList = VFIOUser.DMAScatterList
/// The right to move bytes of guest memory while I/O is in flight.
public typealias DMALease = VFIOUser.DMALease
/// Page-aligned memory of this process that I/O moves through.
public typealias IOBuffer = VFIOUser.IOBuffer
/// Raises one vector from any loop.
public typealias InterruptTrigger = VFIOUser.InterruptTrigger
/// How a loop waits for work.
public typealias PollingMode = VFIOUser.PollingMode
/// Names a poller of a loop.
public typealias PollerToken = VFIOUser.PollerToken
/// Names a timer of a loop.
public typealias TimerToken = VFIOUser.TimerToken
/// Names a descriptor's watch on a loop.
public typealias WatchToken = VFIOUser.WatchToken
/// What a watch waits for.
public typealias EventInterest = VFIOUser.EventInterest
/// Carries a value that belongs to one loop through the queue of another.
public typealias LoopConfined = VFIOUser.LoopConfined
/// A lock for what a device's loops share.
package typealias ConditionLock = VFIOUser.ConditionLock
