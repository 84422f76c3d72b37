import KVMSupport
import Testing

@Test("A guest address reads as hexadecimal")
func guestAddressText() { #expect("\(GuestAddress(0xe000_0000))" == "0xe0000000") }
