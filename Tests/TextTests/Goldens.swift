import TestSupport
import Text

/// The contents of a file under Tests/Goldens.
func golden(_ name: String) throws -> [UInt8] { try fileContents(Places.golden(name).path) }
