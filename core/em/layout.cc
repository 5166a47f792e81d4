#include "core/em/layout.h"

#include <utility>

namespace emserve {

int64_t Layout::Add(std::string name, std::vector<int64_t> shape, bool by_component) {
  int64_t size = 1;
  for (const int64_t extent : shape) size *= extent;
  const int64_t offset = size_;
  arrays_.push_back({std::move(name), std::move(shape), offset, size, by_component});
  size_ += size;
  return offset;
}

int64_t Layout::Append(std::string_view prefix, const Layout& other) {
  const int64_t offset = size_;
  for (const ArraySpec& array : other.arrays_) {
    Add(std::string(prefix) + array.name, array.shape, array.by_component);
  }
  return offset;
}

const ArraySpec* Layout::Find(std::string_view name) const {
  for (const ArraySpec& array : arrays_) {
    if (array.name == name) return &array;
  }
  return nullptr;
}

}  // namespace emserve
