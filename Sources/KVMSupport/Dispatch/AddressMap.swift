/// Who answers what at one moment: immutable, so that vCPUs look things up without a lock.
final class AddressMap: Sendable {
}
