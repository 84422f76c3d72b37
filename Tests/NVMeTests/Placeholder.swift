import Testing
@testable import NVMe
