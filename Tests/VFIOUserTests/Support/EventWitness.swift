import CVFIOUserLinux
import Glibc

@testable import VFIOUser

/// How many eventfds of this process have a given kernel object: copies that a server holds count.
///
/// Eventfds of one process are told apart by the number that the kernel gives each (Linux 5.2).
func openCopies(of event: CInt) -> Int {
  guard let identity = eventIdentity(event) else { return -1 }
  return (0..<1024).filter { eventIdentity(CInt($0)) == identity }.count
}

private func eventIdentity(_ descriptor: CInt) -> String? {
  var text = [UInt8](repeating: 0, count: 512)
  let file = open("/proc/self/fdinfo/\(descriptor)", O_RDONLY | O_CLOEXEC)
  guard file >= 0 else { return nil }
  defer { close(file) }
  let count = text.withUnsafeMutableBytes { Glibc.read(file, $0.baseAddress, $0.count) }
  guard count > 0 else { return nil }
  let lines = String(decoding: text.prefix(count), as: UTF8.self).split(separator: "\n")
  return lines.first { $0.hasPrefix("eventfd-id") }.map(String.init)
}
