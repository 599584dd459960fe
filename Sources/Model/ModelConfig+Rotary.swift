// Rotary frequencies, and how long contexts change them.
import Glibc

extension ModelConfig {
  /// Angle per position of each pair that is rotated, D/2 of them for D elements: θ^(−2i/D), scaled as the configuration says. In single
  /// precision throughout, as the models were trained.
  var rotaryFrequencies: [Float] {
    let base = (0..<rotaryDim / 2).map { 1 / powf(Float(ropeTheta), Float(2 * $0) / Float(rotaryDim)) }
    switch ropeScaling {
    case .none:
      return base
    case .linear(let factor):
      return base.map { $0 / Float(factor) }
    case .llama3(let factor, let lowFactor, let highFactor, let originalLength):
      // Llama 3.1: long wavelengths are stretched, short ones kept, those between interpolated.
      let length = Float(originalLength)
      return base.map { frequency in
        let wavelength = 2 * Float.pi / frequency
        if wavelength < length / Float(highFactor) { return frequency }
        if wavelength > length / Float(lowFactor) { return frequency / Float(factor) }
        let blend = (length / wavelength - Float(lowFactor)) / Float(highFactor - lowFactor)
        return (1 - blend) * frequency / Float(factor) + blend * frequency
      }
    }
  }
}
