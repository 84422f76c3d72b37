import Testing
@testable import NVMeDriver
