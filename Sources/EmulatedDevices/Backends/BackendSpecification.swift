import DeviceModel
import VFIOUser

/// What a byte stream of a device is connected to on the host, as one writes it: `stdio`, `pty`,
/// `file:PATH` or `unix:PATH`.
///
/// ```swift
/// let port = CharacterPort()
/// port.attach(try BackendSpecification("unix:/run/console").open(on: loop))
/// ```
public enum BackendSpecification: Sendable, Hashable {
  /// Standard input and output; a terminal is in raw mode meanwhile, and Ctrl-] ends the process.
  case stdio
  /// A new pseudo-terminal, whose path is announced.
  case pty
  /// A file that output is appended to; there is no input.
  case file(path: String)
  /// A Unix socket that listens at a path and has one peer at a time.
  case unix(path: String)

  /// The forms that are understood, for messages and the manual.
  public static let forms = "stdio, pty, file:PATH or unix:PATH"

  /// The longest path of a Unix socket in bytes.
  static let longestSocketPath = 107

  /// Understands a specification.
  ///
  /// - Throws: ``BackendError`` with the code `malformed`.
  public init(_ text: String) throws(BackendError) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    let kind = String(parts[0])
    let path = parts.count == 2 ? String(parts[1]) : nil
    switch (kind, path) {
    case ("stdio", nil): self = .stdio
    case ("pty", nil): self = .pty
    case ("file", let path?) where !path.isEmpty: self = .file(path: path)
    case ("unix", let path?) where !path.isEmpty:
      guard path.utf8.count <= Self.longestSocketPath else {
        throw BackendError(
          .malformed,
          "backend \"\(text)\": the path is longer than the \(Self.longestSocketPath) bytes of a"
            + " Unix socket; use a shorter one")
      }
      self = .unix(path: path)
    case ("file", _), ("unix", _):
      throw BackendError(.malformed, "backend \"\(text)\" needs a path: write \(kind):PATH")
    case ("stdio", _), ("pty", _):
      throw BackendError(.malformed, "backend \"\(text)\" takes nothing after it: write \(kind)")
    default:
      throw BackendError(
        .malformed, "there is no backend \"\(text)\"; write \(Self.forms)")
    }
  }

  /// Opens the backend. It works once it is attached to a `CharacterPort`.
  ///
  /// - Parameters:
  ///   - loop: the loop of the device; call this on it, or before it runs.
  ///   - announce: called with one line to tell a person where the backend can be reached; not
  ///     called where the specification says it.
  /// - Throws: ``BackendError`` with the code `unavailable`.
  public func open(
    on loop: EventLoop, announce: (String) -> Void = { _ in }
  ) throws(BackendError) -> any CharacterBackend {
    do {
      switch self {
      case .stdio: return try StandardStreamBackend(loop: loop)
      case .pty:
        let backend = try PseudoTerminalBackend(loop: loop)
        announce("backend: \(backend.path)")
        return backend
      case .file(let path): return try FileBackend(path: path, loop: loop)
      case .unix(let path): return try UnixSocketBackend(path: path, loop: loop)
      }
    } catch let error as ServerError {
      throw BackendError(.unavailable, "backend \(description): \(error)", error.errno)
    } catch let error as Errno {
      throw BackendError(.unavailable, "backend \(description): \(Self.reason(for: error))", error)
    } catch {
      throw BackendError(.unavailable, "backend \(description): \(error)")
    }
  }

  private static func reason(for error: Errno) -> String {
    switch error {
    case .noSuchAddressOrDevice: "nobody reads this FIFO; start its reader first"
    case .noSuchFileOrDirectory: "there is no such folder; make it or use another path"
    case .permissionDenied: "not permitted; use a path that this user may write"
    default: "\(error)"
    }
  }
}

extension BackendSpecification: CustomStringConvertible {
  /// The specification as one writes it.
  public var description: String {
    switch self {
    case .stdio: "stdio"
    case .pty: "pty"
    case .file(let path): "file:\(path)"
    case .unix(let path): "unix:\(path)"
    }
  }
}
