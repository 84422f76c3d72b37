import Glibc

/// The package that the tests were built from.
enum Package {
  /// Its folder.
  static let root: String = {
    // Tests/ToolTests/Support/Package.swift
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    return parts.dropLast(4).joined(separator: "/")
  }()

  /// The Swift files in a folder of the package and in those below it.
  static func sources(in folder: String) -> [String] {
    let path = root + "/" + folder
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var files: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name.hasSuffix(".swift") {
        files.append(path + "/" + name)
      } else if !name.hasPrefix(".") {
        files += sources(in: folder + "/" + name)
      }
    }
    return files.sorted()
  }
}
