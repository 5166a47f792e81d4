#include "client/emctl/constraints.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/csv.h"
#include "client/emctl/number_word.h"

namespace emserve::emctl {
namespace {

constexpr absl::string_view kProbabilities = "probabilities_";

// An element, a matrix of covariances, or all of an array (no elements).
struct Place {
  std::string array;
  std::vector<int64_t> elements;
};

// What an index may be.
struct Extent {
  int64_t size = 0;  // 0: not known
  const std::vector<std::string>* names = nullptr;
  std::string option = "--levels";  // which says the size
};

absl::Status NotAPlace(const std::string& word, absl::string_view must) {
  return absl::InvalidArgumentError(absl::StrCat("got ", word, ", must be ", must));
}

std::optional<int64_t> IndexOf(const std::vector<std::string>& names, const std::string& name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return std::nullopt;
  return found - names.begin();
}

class PlaceParser {
 public:
  explicit PlaceParser(const std::map<std::string, ModelledColumns>& blocks) : blocks_(blocks) {}

  absl::StatusOr<Place> Parse(const std::string& word) const {
    const size_t open = word.find('[');
    Place place{.array = word.substr(0, open), .elements = {}};
    const ModelledColumns* const block = BlockOf(place.array);
    if (place.array.empty() || block == nullptr) {
      return NotAPlace(word, "ARRAY[I,J], the array one of the model's, such as means[0,1]");
    }
    const std::optional<int64_t> column = NameColumn(place.array, *block);
    if (open == std::string::npos) return place;
    if (word.back() != ']') return NotAPlace(word, "closed with ]");
    const auto indices =
        client::SplitCsvRecord(std::string_view(word).substr(open + 1, word.size() - open - 2));
    if (!indices.ok() || indices->empty()) return NotAPlace(word, "ARRAY[I,J]");
    int64_t element = 0;
    for (size_t i = 0; i < indices->size(); ++i) {
      const Extent extent = i == 0 ? Extent() : ExtentOf(*block, place.array, column);
      const absl::StatusOr<int64_t> index = ParseIndex((*indices)[i], extent);
      if (!index.ok())
        return absl::InvalidArgumentError(absl::StrCat(word, ": ", index.status().message()));
      if (i > 0 && extent.size == 0) {
        return NotAPlace(word,
                         absl::StrCat("of an array whose size is known; say ", extent.option));
      }
      if (i > 0 && element > (std::numeric_limits<int64_t>::max() - *index) / extent.size) {
        return NotAPlace(word, "of an array that fits in memory");
      }
      element = i == 0 ? *index : element * extent.size + *index;
    }
    place.elements = {element};
    if (indices->size() > 1 || !IsOfMatrices(place.array)) return place;
    const auto size = static_cast<int64_t>(block->names.size() * block->names.size());
    if (element > (std::numeric_limits<int64_t>::max() - size) / size) {
      return NotAPlace(word, "of an array that fits in memory");
    }
    place.elements.resize(static_cast<size_t>(size));
    std::iota(place.elements.begin(), place.elements.end(), element * size);
    return place;
  }

 private:
  // The cells of these are fixed and tied together.
  static bool IsOfMatrices(const std::string& array) {
    return array.substr(array.rfind('.') + 1) == "covariances";
  }

  const ModelledColumns* BlockOf(const std::string& array) const {
    const size_t dot = array.find('.');
    const auto found = blocks_.find(dot == std::string::npos ? "" : array.substr(0, dot));
    return found == blocks_.end() ? nullptr : &found->second;
  }

  // The column of "probabilities_<column>", whose name becomes its number in `array`.
  static std::optional<int64_t> NameColumn(std::string& array, const ModelledColumns& block) {
    const size_t dot = array.find('.');
    const size_t start = dot == std::string::npos ? 0 : dot + 1;
    if (!absl::StartsWith(absl::string_view(array).substr(start), kProbabilities)) {
      return std::nullopt;
    }
    const std::string column = array.substr(start + kProbabilities.size());
    int64_t number = 0;
    if (const auto named = IndexOf(block.names, column); named.has_value()) {
      number = *named;
    } else if (!absl::SimpleAtoi(column, &number)) {
      return std::nullopt;
    }
    array = absl::StrCat(array.substr(0, start), std::string(kProbabilities), number);
    return number;
  }

  static Extent ExtentOf(const ModelledColumns& block, const std::string& array,
                         std::optional<int64_t> column) {
    if (const auto width = block.widths.find(array); width != block.widths.end()) {
      return {.size = width->second.size, .names = nullptr, .option = width->second.option};
    }
    if (!column.has_value()) {
      return {.size = static_cast<int64_t>(block.names.size()), .names = &block.names};
    }
    const size_t c = static_cast<size_t>(*column);
    if (c >= block.num_levels.size()) return {};
    return {.size = block.num_levels[c], .names = &block.levels[c]};
  }

  static absl::StatusOr<int64_t> ParseIndex(const std::string& word, const Extent& extent) {
    const bool has_names = extent.names != nullptr && !extent.names->empty();
    if (has_names) {
      if (const auto named = IndexOf(*extent.names, word); named.has_value()) return *named;
    }
    int64_t index = 0;
    const bool is_number = absl::SimpleAtoi(word, &index) && index >= 0;
    if (!is_number || (extent.size > 0 && index >= extent.size)) {
      return NotAPlace(word, extent.size > 0 ? absl::StrCat("an index from 0 to ", extent.size - 1,
                                                            has_names ? " or a name" : "")
                                             : "an index, 0 or more");
    }
    return index;
  }

  const std::map<std::string, ModelledColumns>& blocks_;
};

absl::Status WithOption(absl::string_view option, const absl::Status& status) {
  return absl::InvalidArgumentError(absl::StrCat(option, ": ", status.message()));
}

absl::Status AddFixed(const std::string& word, const PlaceParser& parser,
                      v1::Constraints& constraints) {
  const size_t equals = word.rfind('=');
  if (equals == std::string::npos) return NotAPlace(word, "ARRAY[I,J]=VALUE");
  const absl::StatusOr<Place> place = parser.Parse(word.substr(0, equals));
  if (!place.ok()) return place.status();
  v1::FixedElements* fixed = nullptr;
  // Elements of one array go together.
  for (v1::FixedElements& there : *constraints.mutable_fixed()) {
    if (there.array() == place->array && !place->elements.empty() && there.elements_size() > 0) {
      fixed = &there;
    }
  }
  if (fixed == nullptr) {
    fixed = constraints.add_fixed();
    fixed->set_array(place->array);
  }
  const std::vector<std::string> values = absl::StrSplit(word.substr(equals + 1), ',');
  if (!place->elements.empty() && values.size() != place->elements.size()) {
    return NotAPlace(word, place->elements.size() == 1 ? "one value for one element"
                                                       : "one value for each cell, row by row");
  }
  fixed->mutable_elements()->Add(place->elements.begin(), place->elements.end());
  for (const std::string& text : values) {
    double value = 0;
    const std::string must = ParseNumberInto(text, value);
    if (!must.empty()) return NotAPlace(word, absl::StrCat("ARRAY[I,J]=VALUE, the value ", must));
    fixed->add_values(value);
  }
  return absl::OkStatus();
}

absl::Status AddTied(const std::string& word, const PlaceParser& parser,
                     v1::Constraints& constraints) {
  std::vector<Place> places;
  for (const absl::string_view part : absl::StrSplit(word, '=')) {
    const absl::StatusOr<Place> place = parser.Parse(std::string(part));
    if (!place.ok()) return place.status();
    if (!places.empty() && places.front().array != place->array) {
      return NotAPlace(word, "elements of one array");
    }
    places.push_back(*place);
  }
  const size_t size = places.front().elements.size();
  const bool alike = std::all_of(places.begin(), places.end(), [size](const Place& place) {
    return place.elements.size() == size;
  });
  if (!alike || (size > 0 ? places.size() < 2 : places.size() > 1)) {
    return NotAPlace(word, "ARRAY[I,J]=ARRAY[K,L], or ARRAY for all of it");
  }
  // Matrices are tied cell by cell.
  for (size_t i = 0; i < std::max<size_t>(size, 1); ++i) {
    v1::TiedElements& tied = *constraints.add_tied();
    tied.set_array(places.front().array);
    for (const Place& place : places) {
      if (size > 0) tied.add_elements(place.elements[i]);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AddConstraints(const std::vector<std::string>& fixed,
                            const std::vector<std::string>& tied,
                            const std::map<std::string, ModelledColumns>& blocks,
                            v1::Constraints& constraints) {
  const PlaceParser parser(blocks);
  for (const std::string& word : fixed) {
    const absl::Status status = AddFixed(word, parser, constraints);
    if (!status.ok()) return WithOption("--fix", status);
  }
  for (const std::string& word : tied) {
    const absl::Status status = AddTied(word, parser, constraints);
    if (!status.ok()) return WithOption("--tie", status);
  }
  return absl::OkStatus();
}

}  // namespace emserve::emctl
