// The checksum of files: fast, and the one that TensorBoard's event files need.
import CIntrinsics

/// CRC-32C (Castagnoli; RFC 3720, appendix B.4) of bytes, going on from the CRC of those before them.
///
/// It finds every change of up to 32 bits in a row, and any other with probability 1 − 2⁻³². It is no protection against
/// somebody who changes a file on purpose.
public func crc32c(_ bytes: UnsafeRawBufferPointer, after crc: UInt32 = 0) -> UInt32 {
  guard let base = bytes.baseAddress else { return crc }
  return mt_crc32c(crc, base, bytes.count)
}
