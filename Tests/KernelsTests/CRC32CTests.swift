// The published values of CRC-32C, and that pieces give what the whole gives.
import Kernels
import TestSupport
import Testing

@Suite struct CRC32CTests {
  /// RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
  private static let published: [(bytes: [UInt8], crc: UInt32)] = [
    (Array("123456789".utf8), 0xe306_9283),
    ([UInt8](repeating: 0, count: 32), 0x8a91_36aa),
    ([UInt8](repeating: 0xff, count: 32), 0x62a8_ab43),
    ([UInt8](0..<32), 0x46dd_794e),
    ([UInt8]((0..<32).reversed()), 0x113f_db5c),
    ([], 0),
  ]

  @Test(arguments: published)
  func publishedValues(bytes: [UInt8], expected: UInt32) {
    #expect(bytes.withUnsafeBytes { crc32c($0) } == expected)
  }

  @Test func piecesGiveWhatTheWholeGives() {
    var random = Random(7)
    let bytes = (0..<1000).map { _ in UInt8.random(in: 0...255, using: &random) }
    let whole = bytes.withUnsafeBytes { crc32c($0) }
    for cut in stride(from: 0, through: 1000, by: 37) {
      let first = bytes[..<cut].withUnsafeBytes { crc32c($0) }
      #expect(bytes[cut...].withUnsafeBytes { crc32c($0, after: first) } == whole)
    }
  }
}
