/// One register as the data path sees it: an element of a block's slot table.
struct RegisterSlot: BitwiseCopyable {
  /// Bytes from the start of the block.
  var offset: UInt32 = 0
  /// Width in bytes.
  var byteCount: UInt8 = 0
  var hasReadEffect = false
  var hasWriteEffect = false
  var isSticky = false
  /// The raw value of the register's case.
  var register: Int32 = 0
  /// Which element of the register's array.
  var element: Int32 = 0
  /// The bits that reads return.
  var readable: UInt64 = 0
  /// The bits that writes replace.
  var writable: UInt64 = 0
  /// The bits that writing a 1 clears.
  var oneToClear: UInt64 = 0
  /// The bits that writing a 1 sets.
  var oneToSet: UInt64 = 0
  /// The bits that a read clears.
  var readToClear: UInt64 = 0
  var widthMask: UInt64 = 0
  var resetValue: UInt64 = 0

  /// In the byte index: no register here.
  static let none = UInt16.max
}
