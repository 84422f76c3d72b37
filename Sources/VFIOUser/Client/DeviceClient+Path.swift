import CVFIOUserLinux

extension DeviceClient {
  /// The socket that `path` stands for: `cntrl` in it when it is a folder, else itself.
  ///
  /// Some servers make a folder for each device, and their clients are given the folder.
  ///
  /// Threads: any.
  public static func socketPath(_ path: String) -> String {
    var status = stat()
    // Safety: the path is a C string, and the kernel fills one local structure.
    let isFolder =
      unsafe stat(path, &status) == 0
      && UInt32(status.st_mode) & UInt32(S_IFMT) == UInt32(S_IFDIR)
    return isFolder ? path + "/cntrl" : path
  }
}
