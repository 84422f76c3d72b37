import Testing

@testable import VFIOUser

@Suite("Regions that are kept across losses") struct RegionSlotTests {
  @Test("E16: an answer that a change overtook is used once and not kept")
  func overtaken() throws {
    let server = try LiveServer()
    let rig = ReconnectRig(.path(server.path))
    let client = try rig.connect()
    let region = try client.withClient { client throws(ClientError) in
      try client.region(at: 0)
    }
    let slot = RegionSlot(info: region.info)
    let count = slot.changeCount
    slot.forget()
    slot.keep(region, since: count)
    #expect(slot.current(isMapped: true) == nil)
    slot.keep(region, since: slot.changeCount)
    #expect(slot.current(isMapped: true) === region)
    slot.forget()
    #expect(slot.current(isMapped: true) == nil)
  }
}
