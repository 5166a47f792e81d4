// Aligned working memory for kernels.
#ifndef EMSERVE_CORE_EM_SCRATCH_H_
#define EMSERVE_CORE_EM_SCRATCH_H_

#include <cstdint>
#include <memory>
#include <new>
#include <span>

namespace emserve {

// A fixed number of doubles, zero at first, that start at a 64-byte boundary as the kernels of
// core/numerics ask.
class Scratch {
 public:
  explicit Scratch(int64_t size)
      : size_(size), data_(new (std::align_val_t{kAlignment}) double[size]()) {}

  int64_t size() const { return size_; }
  double* data() const { return data_.get(); }
  double& operator[](int64_t i) const { return data_[i]; }

 private:
  static constexpr size_t kAlignment = 64;
  struct Free {
    void operator()(double* p) const { ::operator delete[](p, std::align_val_t{kAlignment}); }
  };
  int64_t size_;
  std::unique_ptr<double[], Free> data_;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_SCRATCH_H_
