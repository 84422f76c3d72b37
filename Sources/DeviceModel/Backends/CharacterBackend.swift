/// The host's side of a byte stream: what carries the bytes of a ``CharacterPort``.
///
/// A backend never blocks, holds no more than a bounded number of bytes, and calls its port only
/// between `start` and `stop`. It reads from its source only as much as the port's
/// ``CharacterPort/receiveCapacity`` allows, and reads on when ``resumeReceiving()`` is called.
///
/// Threads: confined to the loop of its device.
public protocol CharacterBackend: AnyObject {
  /// What it is, as in a message: "unix:/run/console".
  var name: String { get }

  /// Begins to work for `port`: the backend keeps it, tells it of the connection, and delivers bytes.
  ///
  /// Not called again before `stop`.
  func start(for port: CharacterPort)

  /// Lets go of the port and of everything that the backend has opened for it.
  func stop()

  /// Takes the first bytes of `bytes`, as many as there is room for.
  ///
  /// After it took fewer than all, the backend calls ``CharacterPort/backendHasSpace()`` once there
  /// is room. A backend without a connection takes everything, and it is gone.
  ///
  /// - Returns: how many bytes it took.
  func write(_ bytes: [UInt8]) -> Int

  /// The port's receive capacity is above zero again.
  ///
  /// The backend must not deliver bytes before this call has returned.
  func resumeReceiving()
}
