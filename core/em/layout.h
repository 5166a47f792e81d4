// Named, shaped views into one contiguous array of doubles.
//
// Parameters and statistics of every family are flat arrays with a Layout. Merging, scaling,
// comparing, extrapolating and encoding them is therefore written once, and no code past the
// dispatch point knows which family it handles.
#ifndef EMSERVE_CORE_EM_LAYOUT_H_
#define EMSERVE_CORE_EM_LAYOUT_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace emserve {

// One named array inside a flat buffer: `shape` in row-major order, `size` = product of shape, both
// in elements.
struct ArraySpec {
  std::string name;
  std::vector<int64_t> shape;
  int64_t offset = 0;
  int64_t size = 0;
  bool by_component = false;  // the first extent counts the components
};

class Layout {
 public:
  // Appends an array behind the existing ones and returns its offset; `by_component` if its first
  // extent counts the components. Precondition: the product of
  // all sizes fits int64 (options are bounded before a layout is built).
  int64_t Add(std::string name, std::vector<int64_t> shape, bool by_component = true);

  // Appends every array of `other`, each name preceded by `prefix`; returns the offset of the
  // first.
  int64_t Append(std::string_view prefix, const Layout& other);

  // Number of doubles in a buffer of this layout.
  int64_t size() const { return size_; }
  const std::vector<ArraySpec>& arrays() const { return arrays_; }

  // The array called `name`, or nullptr.
  const ArraySpec* Find(std::string_view name) const;

  // The part of `buffer` that holds `array`. Precondition: buffer.size() == size().
  static std::span<double> View(std::span<double> buffer, const ArraySpec& array) {
    return buffer.subspan(array.offset, array.size);
  }
  static std::span<const double> View(std::span<const double> buffer, const ArraySpec& array) {
    return buffer.subspan(array.offset, array.size);
  }

 private:
  std::vector<ArraySpec> arrays_;
  int64_t size_ = 0;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_LAYOUT_H_
