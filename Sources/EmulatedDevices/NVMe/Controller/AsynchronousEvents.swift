import NVMe

/// What a controller tells a driver unasked, by completing requests that the driver has left open.
///
/// An event is told once; further ones of its type wait until the driver has read the log page.
///
/// Source: NVMe 1.4, section 5.2.
struct AsynchronousEvents {
  /// Asynchronous Event Type.
  enum Kind: UInt8, Sendable {
    case error = 0
    case health = 1
    case notice = 2
  }

  struct Event: Hashable {
    var kind: Kind
    var information: UInt8
    var page: LogPageIdentifier

    /// Dword 0 of the completion.
    var result: UInt32 {
      UInt32(kind.rawValue) | UInt32(information) << 8 | UInt32(page.rawValue) << 16
    }
  }

  /// How many requests may be open.
  static let limit = 8

  private var requests: [NVMeRequest] = []
  private var waiting: [Event] = []
  private var masked: Set<Kind> = []

  /// Keeps a request open; false when there are enough.
  mutating func add(_ request: NVMeRequest) -> Bool {
    guard requests.count < Self.limit else { return false }
    request.moveToBackground()
    requests.append(request)
    deliver()
    return true
  }

  mutating func report(_ event: Event) {
    guard !waiting.contains(event) else { return }
    waiting.append(event)
    deliver()
  }

  /// The driver has read the log page of an event.
  mutating func pageRead(_ page: LogPageIdentifier) {
    let kind: Kind
    switch page {
    case .errorInformation: kind = .error
    case .health: kind = .health
    case .changedNamespaces, .firmwareSlot: kind = .notice
    default: return
    }
    masked.remove(kind)
    deliver()
  }

  /// Takes a request back that the driver aborts; nil when it is not one of these.
  mutating func take(_ commandIdentifier: UInt16) -> NVMeRequest? {
    guard
      let index = requests.firstIndex(where: { $0.entry.commandIdentifier == commandIdentifier })
    else { return nil }
    return requests.remove(at: index)
  }

  /// Forgets everything: the controller is being reset.
  mutating func removeAll() {
    let open = requests
    self = AsynchronousEvents()
    for request in open { request.drop() }
  }

  private mutating func deliver() {
    while let index = waiting.firstIndex(where: { !masked.contains($0.kind) }),
      let request = requests.first
    {
      let event = waiting.remove(at: index)
      requests.removeFirst()
      masked.insert(event.kind)
      request.complete(.success, result: event.result)
    }
  }
}
