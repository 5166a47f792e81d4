// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random
// numbers: as easy as 1, 2, 3"). A stream is a pure function of (seed, stream), so restart r is
// reproducible alone and on any thread.
#ifndef EMSERVE_CORE_RUNTIME_RANDOM_H_
#define EMSERVE_CORE_RUNTIME_RANDOM_H_

#include <array>
#include <cstdint>

namespace emserve {

// The bijection itself: ten rounds of Philox on a 128-bit counter under a 64-bit key.
std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Satisfies UniformRandomBitGenerator. Distributions are our own, because the standard library's
// differ between implementations. Copyable; not thread-safe.
class Random {
 public:
  using result_type = uint64_t;

  Random(uint64_t seed, uint64_t stream);

  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return ~uint64_t{0}; }
  uint64_t operator()();

  // Uniform on [0, 1) with 53 bits.
  double Uniform();
  // Uniform integer on [0, bound); bound >= 1. Unbiased (Lemire 2019).
  uint64_t Below(uint64_t bound);
  // Standard normal (Box & Muller 1958, both values used).
  double Normal();

  // Position in the stream, in blocks of 128 bits, for checkpoints.
  uint64_t counter() const { return counter_; }

 private:
  std::array<uint32_t, 2> key_;
  uint64_t stream_;
  uint64_t counter_ = 0;
  std::array<uint64_t, 2> buffer_{};
  int available_ = 0;
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_RUNTIME_RANDOM_H_
