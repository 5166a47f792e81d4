// Whether a long computation is still wanted.
#ifndef EMSERVE_CORE_NUMERICS_CANCELLATION_H_
#define EMSERVE_CORE_NUMERICS_CANCELLATION_H_

#include <cstdint>
#include <functional>

namespace emserve {

// Asks `cancelled`, which may be null and outlives it, once in every few milliseconds of work.
class Cancellation {
 public:
  explicit Cancellation(const std::function<bool()>& cancelled) : cancelled_(cancelled) {}

  // Counts `work` multiplications that were done; true: the computation is to end.
  bool After(int64_t work) {
    done_ += work;
    if (done_ < kBetween || cancelled_ == nullptr) return false;
    done_ = 0;
    return cancelled_();
  }

 private:
  static constexpr int64_t kBetween = 1 << 20;

  const std::function<bool()>& cancelled_;
  int64_t done_ = 0;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_CANCELLATION_H_
