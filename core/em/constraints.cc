#include "core/em/constraints.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"

namespace emserve {
namespace {

absl::Status Bad(const std::string& path, const char* field, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ".", field, ": ", what));
}

// The elements of a list as offsets in the whole buffer.
absl::StatusOr<std::vector<int64_t>> Resolve(const Layout& layout, const std::string& path,
                                             const std::string& name,
                                             const std::vector<int64_t>& elements) {
  const ArraySpec* const array = layout.Find(name);
  if (array == nullptr) {
    std::string known;
    for (const ArraySpec& a : layout.arrays()) {
      absl::StrAppend(&known, known.empty() ? "" : ", ", a.name);
    }
    return Bad(path, "array", absl::StrCat("got \"", name, "\", must be one of ", known));
  }
  std::vector<int64_t> all = elements;
  if (all.empty()) {
    all.resize(array->size);
    std::iota(all.begin(), all.end(), int64_t{0});
  }
  for (size_t j = 0; j < all.size(); ++j) {
    if (all[j] < 0 || all[j] >= array->size) {
      return Bad(path, "elements",
                 absl::StrCat("got ", all[j], ", must be 0 to ", array->size - 1,
                              ", an element of ", name));
    }
    all[j] += array->offset;
  }
  return all;
}

}  // namespace

absl::StatusOr<Constraints> Constraints::Make(const Layout& layout,
                                              const ConstraintOptions& options) {
  Constraints made(layout.size());
  if (options.empty()) return made;
  made.leader_.resize(layout.size());
  std::iota(made.leader_.begin(), made.leader_.end(), int64_t{0});
  made.fixed_.resize(layout.size());
  made.tied_.resize(layout.size());
  made.value_.resize(layout.size());
  for (size_t f = 0; f < options.fixed.size(); ++f) {
    const FixedElements& fixed = options.fixed[f];
    const std::string path = absl::StrCat("constraints.fixed[", f, "]");
    const auto elements = Resolve(layout, path, fixed.array, fixed.elements);
    if (!elements.ok()) return elements.status();
    if (fixed.values.size() != 1 && fixed.values.size() != elements->size()) {
      return Bad(path, "values",
                 absl::StrCat("got ", fixed.values.size(), " values, must be ", elements->size(),
                              ", one per element, or 1 for all"));
    }
    for (size_t j = 0; j < elements->size(); ++j) {
      const int64_t i = (*elements)[j];
      const double value = fixed.values[fixed.values.size() == 1 ? 0 : j];
      if (!std::isfinite(value)) {
        return Bad(path, "values", absl::StrCat("got ", value, ", must be finite"));
      }
      if (made.fixed_[i]) {
        return Bad(path, "elements",
                   absl::StrCat("got an element of ", fixed.array,
                                " that is fixed before, must be fixed once"));
      }
      made.fixed_[i] = true;
      made.value_[i] = value;
    }
  }
  for (size_t t = 0; t < options.tied.size(); ++t) {
    const TiedElements& tied = options.tied[t];
    const std::string path = absl::StrCat("constraints.tied[", t, "]");
    auto elements = Resolve(layout, path, tied.array, tied.elements);
    if (!elements.ok()) return elements.status();
    if (elements->size() < 2) {
      return Bad(path, "elements", "got 1 element, must be at least 2");
    }
    const int64_t leader = *std::min_element(elements->begin(), elements->end());
    for (const int64_t i : *elements) {
      if (made.fixed_[i]) {
        return Bad(path, "elements",
                   absl::StrCat("got an element of ", tied.array,
                                " that is fixed, must be free; fix all of them "
                                "to the same value instead"));
      }
      if (made.tied_[i]) {
        return Bad(path, "elements",
                   absl::StrCat("got an element of ", tied.array,
                                " that is tied before, must be tied once; join "
                                "the two lists"));
      }
      made.tied_[i] = true;
      made.leader_[i] = leader;
    }
  }
  return made;
}

int64_t Constraints::NumFree() const {
  if (empty()) return size_;
  int64_t count = 0;
  for (int64_t i = 0; i < size_; ++i) count += leader_[i] == i && !fixed_[i];
  return count;
}

bool Constraints::Joins(int64_t begin, int64_t size) const {
  const auto inside = [&](int64_t i) { return i >= begin && i < begin + size; };
  for (int64_t i = 0; i < size_; ++i) {
    if (IsTied(i) && inside(i) != inside(Leader(i))) return true;
  }
  return false;
}

bool JoinsComponents(const Constraints& constraints, const Layout& layout, int component) {
  for (const ArraySpec& array : layout.arrays()) {
    if (constraints.empty()) break;
    if (!array.by_component || component >= array.shape[0]) continue;
    const int64_t size = array.size / array.shape[0];
    if (constraints.Joins(array.offset + component * size, size)) return true;
  }
  return false;
}

Constraints Constraints::Slice(int64_t offset, int64_t size) const {
  Constraints slice(size);
  bool any = false;
  for (int64_t i = offset; i < offset + size && !any; ++i) any = Restricts(i);
  if (!any) return slice;
  for (int64_t i = offset; i < offset + size; ++i) {
    slice.leader_.push_back(leader_[i] - offset);
    slice.fixed_.push_back(fixed_[i]);
    slice.tied_.push_back(tied_[i]);
    slice.value_.push_back(value_[i]);
  }
  return slice;
}

void Constraints::Apply(std::span<double> params) const {
  if (empty()) return;
  for (int64_t i = 0; i < size_; ++i) {
    if (fixed_[i]) params[i] = value_[i];
  }
}

}  // namespace emserve
