// Parameters that a fit must not change, or must keep equal, element by element.
#ifndef EMSERVE_CORE_EM_CONSTRAINTS_H_
#define EMSERVE_CORE_EM_CONSTRAINTS_H_

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/em/layout.h"

namespace emserve {

// Elements of one array, by their row-major index.
struct FixedElements {
  std::string array;              // name in the layout, e.g. "means"
  std::vector<int64_t> elements;  // empty: all of the array
  std::vector<double> values;     // one per element, or one for all
};
struct TiedElements {
  std::string array;
  std::vector<int64_t> elements;  // at least 2, kept equal; empty: all of the array
};
struct ConstraintOptions {
  std::vector<FixedElements> fixed;
  std::vector<TiedElements> tied;

  bool empty() const { return fixed.empty() && tied.empty(); }
};
// Elements that the model itself holds at 0: transitions that there are not.
struct ExcludedElements {
  std::string array;
  std::vector<char> excluded;  // of all its elements; empty: none are
};

// Constraints resolved against a layout, or a run of its elements. Immutable.
//
// Every element belongs to a group, led by its first element; elements that are not tied are groups
// of one. A group is fixed or free as a whole. Takes a byte per element, and 16 more where it is
// tied or fixed to another value than 0.
class Constraints {
 public:
  // None, on `size` elements.
  explicit Constraints(int64_t size = 0) : size_(size) {}

  // InvalidArgument "constraints.fixed[<i>].<field>: got ..., must be ...": unknown array, element
  // out of range or twice, values that do not fit, a tie of a fixed element; an excluded one tied
  // or fixed to another value than 0.
  static absl::StatusOr<Constraints> Make(const Layout& layout, const ConstraintOptions& options,
                                          const ExcludedElements& excluded = {});

  bool empty() const { return holds_.empty(); }
  int64_t size() const { return size_; }
  bool IsFixed(int64_t i) const { return HoldOf(i) == Hold::kZero || HoldOf(i) == Hold::kValue; }
  // Of a fixed element. O(log elements).
  double value(int64_t i) const;
  // First element of i's group: i itself if it is not tied to an earlier one. O(log elements) for
  // tied ones.
  int64_t Leader(int64_t i) const;
  // Whether element i is fixed, or tied to another.
  bool Restricts(int64_t i) const { return HoldOf(i) != Hold::kFree; }
  bool IsTied(int64_t i) const { return HoldOf(i) == Hold::kTied; }

  // Whether a tie joins one of the elements [begin, begin + size) with one outside. O(all
  // elements).
  bool Joins(int64_t begin, int64_t size) const;

  // Free groups among all elements.
  int64_t NumFree() const;

  // The elements [offset, offset + size), numbered from 0. Ties never leave an array, so slices
  // along arrays lose nothing. Without constraints among them the result is empty().
  Constraints Slice(int64_t offset, int64_t size) const;

  // Sets the fixed elements of `params` to their values.
  void Apply(std::span<double> params) const;

 private:
  enum class Hold : unsigned char { kFree, kTied, kZero, kValue };

  Hold HoldOf(int64_t i) const { return empty() ? Hold::kFree : holds_[i]; }
  // Value or leader of each element that has one, ascending by element.
  using Values = std::vector<std::pair<int64_t, double>>;
  using Leaders = std::vector<std::pair<int64_t, int64_t>>;
  absl::Status Fix(const Layout& layout, const FixedElements& fixed, const std::string& path,
                   std::vector<bool>& named);
  absl::Status Tie(const Layout& layout, const TiedElements& tied, const std::string& path,
                   const std::vector<bool>& named);

  int64_t size_ = 0;
  std::vector<Hold> holds_;  // [size], or empty: no constraints
  Values values_;
  Leaders leaders_;
};

// Whether a tie joins an element that belongs to `component` in one of the arrays of `layout` with
// one that does not. O(arrays x elements).
bool JoinsComponents(const Constraints& constraints, const Layout& layout, int component);

}  // namespace emserve

#endif  // EMSERVE_CORE_EM_CONSTRAINTS_H_
