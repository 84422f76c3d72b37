/// A part of a device's manual that its bus contributes: facts, a table, remarks.
public struct ManualSection: Sendable {
  /// A labelled fact: "Vendor", "1234".
  public struct Fact: Sendable, Hashable {
    /// What the fact is about.
    public var label: String
    /// What it says.
    public var value: String

    /// Makes a fact.
    public init(_ label: String, _ value: String) {
      self.label = label
      self.value = value
    }
  }

  /// The section's heading: "PCI function".
  public var title: String
  /// Facts, in the order shown.
  public var facts: [Fact]
  /// The headings of the table's columns; empty for no table.
  public var columns: [String]
  /// The table's rows; each as long as ``columns``, missing cells are empty.
  public var rows: [[String]]
  /// Remarks, a paragraph each.
  public var notes: [String]

  /// Makes a section.
  public init(
    _ title: String, facts: [Fact] = [], columns: [String] = [], rows: [[String]] = [],
    notes: [String] = []
  ) {
    self.title = title
    self.facts = facts
    self.columns = columns
    self.rows = rows
    self.notes = notes
  }
}
