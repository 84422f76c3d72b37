import BlockStorage
import DeviceModel
import EmulatedDevices
import Logging
import VFIOUser

/// What `--backend` and `--namespace` say, opened.
enum BackendOption {
  /// Opens what a device is connected to, or returns nil where there is nothing.
  ///
  /// - Throws: ``ProgramError`` when it is missing, not wanted, malformed or cannot be opened.
  static func open(
    _ options: ServeOptions, for declaration: PCIDeviceDeclaration, on loop: EventLoop,
    _ logger: Logger
  ) throws(ProgramError) -> AnyObject? {
    let name = declaration.name
    let requirement = declaration.backend
    if options.backend != nil, requirement?.isStorage ?? true {
      throw ProgramError(
        .usage,
        requirement == nil
          ? "\(name) has no back end: leave --backend out"
          : "\(name) has no back end: give it storages with --namespace")
    }
    if !options.namespaces.isEmpty, requirement?.isStorage != true {
      throw ProgramError(.usage, "\(name) has no namespaces: leave --namespace out")
    }
    guard let requirement else { return nil }
    if requirement.isStorage {
      return try storages(options.namespaces, requirement, name, logger)
    }
    guard let specification = options.backend else {
      guard requirement.isRequired else { return nil }
      throw ProgramError(.usage, "\(name) needs --backend SPEC: \(requirement.summary)")
    }
    return try port(specification, name, on: loop, logger)
  }

  private static func port(
    _ specification: String, _ name: String, on loop: EventLoop, _ logger: Logger
  ) throws(ProgramError) -> CharacterPort {
    do throws(BackendError) {
      let port = CharacterPort()
      port.attach(
        try BackendSpecification(specification).open(on: loop) { line in
          logger.notice("\(line)")
        })
      return port
    } catch {
      throw ProgramError(error.code == .malformed ? .usage : .runtime, "\(name): \(error)")
    }
  }

  private static func storages(
    _ specifications: [String], _ requirement: BackendRequirement, _ name: String,
    _ logger: Logger
  ) throws(ProgramError) -> StorageSet {
    guard specifications.count >= requirement.minimumCount else {
      let count = requirement.minimumCount == 1 ? "" : " \(requirement.minimumCount) times"
      throw ProgramError(
        .usage,
        "\(name) needs --namespace SPEC\(count): \(requirement.summary)"
          + " SPEC is \(StorageSpecification.forms)")
    }
    guard specifications.count <= requirement.maximumCount else {
      throw ProgramError(
        .usage,
        "\(name) has room for \(requirement.maximumCount) namespaces, not \(specifications.count)")
    }
    do throws(StorageError) {
      // All are understood before the first is opened.
      var parsed: [StorageSpecification] = []
      for specification in specifications { parsed.append(try StorageSpecification(specification)) }
      var storages: [any BlockStorage] = []
      for (index, specification) in parsed.enumerated() {
        let storage = try specification.open()
        let access = storage.traits.isReadOnly ? ", read-only" : ""
        let engine = (storage as? FileStorage).map { ", by \($0.engine.rawValue)" } ?? ""
        logger.info(
          "namespace \(index + 1): \(storage.name), \(storage.byteCount) bytes\(access)\(engine)")
        storages.append(storage)
      }
      return StorageSet(storages)
    } catch {
      throw ProgramError(error.code == .malformed ? .usage : .runtime, "\(name): \(error)")
    }
  }
}
