import CVFIOUserLinux

/// Keeps the process alive when a peer shrinks a file that is mapped here.
public enum BusErrorGuard {
  /// Installs a SIGBUS handler for the whole process, once.
  ///
  /// A fault in memory that a peer shares gets a private zero page, and the access that met it
  /// reports an error. Every other fault goes to the handler that was installed before. Programs made
  /// with `DeviceProgram` do this by themselves; other users decide.
  public static func install() throws(Errno) {
    _ = try Errno.checkShim(cvfu_install_bus_error_handler())
  }
}
