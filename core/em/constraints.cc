#include "core/em/constraints.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"

namespace emserve {
namespace {

absl::Status Bad(const std::string& path, const char* field, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ".", field, ": ", what));
}

// The array that a list is of. `elements`, if any, are among its.
absl::StatusOr<const ArraySpec*> FindArray(const Layout& layout, const std::string& path,
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
  for (const int64_t element : elements) {
    if (element >= 0 && element < array->size) continue;
    return Bad(path, "elements",
               absl::StrCat("got ", element, ", must be 0 to ", array->size - 1, ", an element of ",
                            name));
  }
  return array;
}

// "transitions[1, 0]".
std::string NameOf(const ArraySpec& array, int64_t element) {
  std::string indices;
  for (size_t d = array.shape.size(); d-- > 0;) {
    const int64_t index = element % array.shape[d];
    element /= array.shape[d];
    indices = absl::StrCat(index, indices.empty() ? "" : ", ", indices);
  }
  return absl::StrCat(array.name, "[", indices, "]");
}

// The first of `sorted` whose element is not below `element`.
template <typename Sorted>
auto Lookup(const Sorted& sorted, int64_t element) {
  return std::lower_bound(sorted.begin(), sorted.end(), element,
                          [](const auto& pair, int64_t e) { return pair.first < e; });
}

}  // namespace

double Constraints::value(int64_t i) const {
  return holds_[i] == Hold::kZero ? 0 : Lookup(values_, i)->second;
}

int64_t Constraints::Leader(int64_t i) const { return IsTied(i) ? Lookup(leaders_, i)->second : i; }

// `named`: [size] whether a list has fixed the element.
absl::Status Constraints::Fix(const Layout& layout, const FixedElements& fixed,
                              const std::string& path, std::vector<bool>& named) {
  const auto found = FindArray(layout, path, fixed.array, fixed.elements);
  if (!found.ok()) return found.status();
  const ArraySpec& array = **found;
  const size_t count = fixed.elements.empty() ? array.size : fixed.elements.size();
  if (fixed.values.size() != 1 && fixed.values.size() != count) {
    return Bad(path, "values",
               absl::StrCat("got ", fixed.values.size(), " values, must be ", count,
                            ", one per element, or 1 for all"));
  }
  for (size_t j = 0; j < count; ++j) {
    const int64_t element = fixed.elements.empty() ? static_cast<int64_t>(j) : fixed.elements[j];
    const int64_t i = array.offset + element;
    const double value = fixed.values[fixed.values.size() == 1 ? 0 : j];
    if (!std::isfinite(value)) {
      return Bad(path, "values", absl::StrCat("got ", value, ", must be finite"));
    }
    if (named[i]) {
      return Bad(path, "elements",
                 absl::StrCat("got an element of ", fixed.array,
                              " that is fixed before, must be fixed once"));
    }
    named[i] = true;
    if (holds_[i] == Hold::kZero && value != 0) {
      return Bad(path, "values",
                 absl::StrCat("got ", value, " for ", NameOf(array, element),
                              ", must be 0, at which the model's structure holds it"));
    }
    holds_[i] = value == 0 ? Hold::kZero : Hold::kValue;
    if (value != 0) values_.emplace_back(i, value);
  }
  return absl::OkStatus();
}

absl::Status Constraints::Tie(const Layout& layout, const TiedElements& tied,
                              const std::string& path, const std::vector<bool>& named) {
  const auto found = FindArray(layout, path, tied.array, tied.elements);
  if (!found.ok()) return found.status();
  const ArraySpec& array = **found;
  const size_t count = tied.elements.empty() ? array.size : tied.elements.size();
  if (count < 2) return Bad(path, "elements", "got 1 element, must be at least 2");
  const int64_t first =
      tied.elements.empty() ? 0 : *std::min_element(tied.elements.begin(), tied.elements.end());
  for (size_t j = 0; j < count; ++j) {
    const int64_t element = tied.elements.empty() ? static_cast<int64_t>(j) : tied.elements[j];
    const int64_t i = array.offset + element;
    if (named[i]) {
      return Bad(path, "elements",
                 absl::StrCat("got an element of ", tied.array,
                              " that is fixed, must be free; fix all of them "
                              "to the same value instead"));
    }
    if (holds_[i] == Hold::kZero) {
      return Bad(path, "elements",
                 absl::StrCat("got ", NameOf(array, element),
                              ", must be elements that the model's structure does not hold at 0"));
    }
    if (holds_[i] == Hold::kTied) {
      return Bad(path, "elements",
                 absl::StrCat("got an element of ", tied.array,
                              " that is tied before, must be tied once; join "
                              "the two lists"));
    }
    holds_[i] = Hold::kTied;
    leaders_.emplace_back(i, array.offset + first);
  }
  return absl::OkStatus();
}

absl::StatusOr<Constraints> Constraints::Make(const Layout& layout,
                                              const ConstraintOptions& options,
                                              const ExcludedElements& excluded) {
  Constraints made(layout.size());
  if (options.empty() && excluded.excluded.empty()) return made;
  made.holds_.resize(layout.size());
  if (!excluded.excluded.empty()) {
    const int64_t offset = layout.Find(excluded.array)->offset;
    for (size_t j = 0; j < excluded.excluded.size(); ++j) {
      if (excluded.excluded[j]) made.holds_[offset + static_cast<int64_t>(j)] = Hold::kZero;
    }
  }
  if (options.empty()) return made;
  std::vector<bool> named(layout.size());
  for (size_t f = 0; f < options.fixed.size(); ++f) {
    absl::Status status =
        made.Fix(layout, options.fixed[f], absl::StrCat("constraints.fixed[", f, "]"), named);
    if (!status.ok()) return status;
  }
  for (size_t t = 0; t < options.tied.size(); ++t) {
    absl::Status status =
        made.Tie(layout, options.tied[t], absl::StrCat("constraints.tied[", t, "]"), named);
    if (!status.ok()) return status;
  }
  std::sort(made.values_.begin(), made.values_.end());
  std::sort(made.leaders_.begin(), made.leaders_.end());
  return made;
}

int64_t Constraints::NumFree() const {
  if (empty()) return size_;
  int64_t count = 0;
  for (int64_t i = 0; i < size_; ++i) count += Leader(i) == i && !IsFixed(i);
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
  slice.holds_.assign(holds_.begin() + offset, holds_.begin() + offset + size);
  const auto last_value = Lookup(values_, offset + size);
  for (auto it = Lookup(values_, offset); it != last_value; ++it) {
    slice.values_.emplace_back(it->first - offset, it->second);
  }
  const auto last_leader = Lookup(leaders_, offset + size);
  for (auto it = Lookup(leaders_, offset); it != last_leader; ++it) {
    slice.leaders_.emplace_back(it->first - offset, it->second - offset);
  }
  return slice;
}

void Constraints::Apply(std::span<double> params) const {
  for (size_t i = 0; i < holds_.size(); ++i) {
    if (holds_[i] == Hold::kZero) params[i] = 0;
  }
  for (const auto& [element, value] : values_) params[element] = value;
}

}  // namespace emserve
