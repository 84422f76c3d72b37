import DeviceModel
import NVMe

// Source: NVMe 1.4, section 5.23.

extension AdminExecutor {
  /// Format NVM: chooses the size of blocks; what was there is gone, whatever is asked for.
  func format(_ request: NVMeRequest) {
    let entry = request.entry
    let control = entry.dword10
    let format = Int(control & 0xf)
    guard format <= 1 else { return refuse(request, .invalidFormat, at: 40) }
    // No metadata, no protection information; user data erase or none, no keys.
    guard control & 0x1f0 == 0 else { return refuse(request, .invalidFormat, at: 40) }
    guard control >> 9 & 7 <= 1 else { return refuse(request, .invalidField, at: 41) }
    let targets: [NVMeNamespace]
    if entry.namespaceIdentifier == NamespaceTable.broadcast {
      targets = namespaces.all
    } else if let namespace = namespaces[entry.namespaceIdentifier] {
      targets = [namespace]
    } else {
      return refuse(request, .invalidNamespaceOrFormat, at: 4)
    }
    guard !targets.contains(where: \.isReadOnly) else {
      return request.complete(.namespaceWriteProtected)
    }
    guard !targets.contains(where: \.isFormatting) else {
      return request.complete(.formatInProgress)
    }
    let blockByteCount = format == 0 ? 512 : 4096
    guard
      targets.allSatisfy({
        $0.storage.byteCount >= UInt64(blockByteCount)
          && $0.storage.traits.blockByteCount <= blockByteCount
      })
    else {
      return refuse(request, .invalidFormat, at: 40)
    }
    for namespace in targets { namespace.isFormatting = true }
    request.moveToBackground()
    background[ObjectIdentifier(request)] = request
    let expected = epoch
    let executor = request.group.executor
    controller.whileQuiet { [weak self] done in
      NamespaceWork(targets.flatMap(NamespaceWork.erasing), by: executor) { error in
        for namespace in targets {
          if error == nil { namespace.setBlockByteCount(blockByteCount) }
          namespace.isFormatting = false
        }
        done()
        guard let self, self.epoch == expected else { return }
        self.formatted(request, targets, error, executor)
      }
    }
  }

  private func formatted(
    _ request: NVMeRequest, _ targets: [NVMeNamespace], _ error: Errno?,
    _ executor: CommandExecutor
  ) {
    guard background.removeValue(forKey: ObjectIdentifier(request)) != nil else { return }
    if let error {
      request.block.operation = .write
      return request.complete(executor.status(for: error, request.block, targets[0]))
    }
    request.complete(.success)
    noteChange(of: targets)
    // Namespace Attribute Notices.
    if features.asynchronousEvents & 1 << 8 != 0 {
      events.report(.init(kind: .notice, information: 0, page: .changedNamespaces))
    }
  }
}
