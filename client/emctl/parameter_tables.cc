#include "client/emctl/parameter_tables.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/emctl/derived.h"
#include "client/emctl/text.h"
#include "proto/wire/model_spec.h"
#include "proto/wire/tensor.h"

namespace emserve::emctl {
namespace {

// Larger tables are left to --json.
constexpr size_t kMostComponents = 32;
constexpr size_t kMostColumns = 12;
constexpr size_t kMostMatrices = 12;
constexpr char kProbabilities[] = "probabilities_";

// A parameter, with what its dimensions run over: 'k' components or states, 'd' columns of the
// block, 's' the states that transitions lead to, 't' steps of time from 1.
struct Array {
  std::string name;
  std::string axes;
  std::vector<int64_t> shape;
  std::vector<double> values;
  std::vector<std::string> names;  // of what the last dimension runs over, but for 'k'
};

v1::Covariance CovarianceOf(const v1::EmissionSpec& emission) {
  return emission.has_student_t() ? emission.student_t().covariance()
                                  : emission.gaussian().covariance();
}

// Of hidden Markov models: one number for each state, however many there are.
bool IsOfEachState(const std::string& name) {
  return name == "initial" || name == "duration_rates" || name == "duration_means" ||
         name == "duration_sizes";
}

// Shapes alone do not tell: with as many components as columns [K] and [D] look the same.
std::string AxesOf(const v1::EmissionSpec& emission, const std::string& name, int rank) {
  for (const char* per_component : {"weights", "concentrations", "degrees_of_freedom"}) {
    if (name == per_component) return "k";
  }
  if (IsOfEachState(name)) return "k";
  if (name == "transitions") return "ks";
  if (name == "durations") return "kt";
  if (name == "noise_minimum" || name == "noise_maximum") return "d";
  if (name == "covariances") return rank == 3 ? "kdd" : "dd";
  if (name != "variances") return rank == 2 ? "kd" : "";
  switch (CovarianceOf(emission)) {
    case v1::COVARIANCE_DIAGONAL:
    case v1::COVARIANCE_VEI:
    case v1::COVARIANCE_EVI:
      return "kd";
    case v1::COVARIANCE_TIED_DIAGONAL:
      return "d";
    case v1::COVARIANCE_SPHERICAL:
      return "k";
    default:
      return "";
  }
}

// The categories of a column: their names, or their codes.
std::vector<std::string> CategoryNames(const v1::CategoricalEmission& emission, int c,
                                       const v1::Column& column, int64_t size) {
  if (column.levels_size() == size) return {column.levels().begin(), column.levels().end()};
  auto first = static_cast<int64_t>(std::llround(column.summary().minimum()));
  if (emission.first_size() > 0) first = emission.first(c < emission.first_size() ? c : 0);
  std::vector<std::string> names;
  for (int64_t level = 0; level < size; ++level) names.push_back(absl::StrCat(first + level));
  return names;
}

// Where an array belongs: the columns of the model, or those of its part of a product.
struct Block {
  std::string prefix;  // of the array's name, "<part>."
  const v1::EmissionSpec* emission = nullptr;
  std::vector<const v1::Column*> columns;
};

Block BlockOf(const v1::ModelVersion& version, const std::string& array) {
  const v1::EmissionSpec& emission = EmissionOf(version.spec().model());
  for (const v1::ProductPart& part : emission.product().parts()) {
    Block block{.prefix = part.name() + ".", .emission = &part.emission(), .columns = {}};
    if (!absl::StartsWith(array, block.prefix)) continue;
    for (const std::string& name : part.columns()) {
      for (const v1::Column& column : version.columns()) {
        if (column.name() == name) block.columns.push_back(&column);
      }
    }
    return block;
  }
  Block block{.prefix = "", .emission = &emission, .columns = {}};
  for (const v1::Column& column : version.columns()) block.columns.push_back(&column);
  return block;
}

Array Decode(const v1::ModelVersion& version, const v1::NamedTensor& named) {
  const Block block = BlockOf(version, named.name());
  const std::string name = named.name().substr(block.prefix.size());
  Array array{.name = named.name(),
              .axes = AxesOf(*block.emission, name, named.tensor().shape_size()),
              .shape = {named.tensor().shape().begin(), named.tensor().shape().end()},
              .values = {},
              .names = {}};
  for (const v1::Column* column : block.columns) array.names.push_back(column->name());
  size_t c = 0;
  if (absl::StartsWith(name, kProbabilities) && array.shape.size() == 2 &&
      absl::SimpleAtoi(name.substr(sizeof(kProbabilities) - 1), &c) && c < block.columns.size()) {
    array.name = absl::StrCat(named.name(), " of ", block.columns[c]->name());
    array.names = CategoryNames(block.emission->categorical(), static_cast<int>(c),
                                *block.columns[c], array.shape[1]);
  }
  absl::StatusOr<std::vector<double>> values = DecodeTensor(named.tensor(), named.name());
  if (values.ok()) array.values = *std::move(values);
  if (array.axes.size() != array.shape.size()) array.axes.clear();
  if (array.axes == "ks" || array.axes == "kt") {
    const int64_t first = array.axes == "kt" ? 1 : 0;
    array.names.clear();
    for (int64_t j = 0; j < array.shape[1]; ++j) array.names.push_back(absl::StrCat(first + j));
  }
  // One number for all components.
  const bool is_of_each = name == "weights" || IsOfEachState(name);
  if (array.axes == "k" && array.values.size() == 1 && !is_of_each) array.axes.clear();
  return array;
}

std::string ShapeText(const Array& array) {
  return absl::StrCat(array.name, " [", absl::StrJoin(array.shape, ", "), "]");
}

class Tables {
 public:
  explicit Tables(const v1::ModelVersion& version) {
    for (const v1::NamedTensor& named : version.parameters().arrays()) {
      arrays_.push_back(Decode(version, named));
    }
    const auto& separation = version.report().criteria().separation();
    separation_.assign(separation.begin(), separation.end());
    has_noise_ = version.spec().model().mixture().noise();
    has_states_ = version.spec().model().has_hidden_markov();
    expected_durations_ = DerivedOf(version, "expected_durations");
    stationary_ = DerivedOf(version, "stationary");
  }

  std::string ToString() {
    for (const Array& array : arrays_) {
      if (array.axes.empty() || array.axes[0] != 'k') continue;
      num_components_ = std::max(num_components_, static_cast<size_t>(array.shape[0]));
    }
    AddComponents();
    for (const Array& array : arrays_) {
      if (array.axes != "k") Add(array);
    }
    if (!too_large_.empty()) {
      absl::StrAppend(
          &out_, "\nnot shown (use --json): ", Printable(absl::StrJoin(too_large_, ", ")), "\n");
    }
    return std::move(out_);
  }

 private:
  void Add(const Array& array) {
    const auto rows = static_cast<size_t>(array.shape.empty() ? 1 : array.shape[0]);
    const bool has_columns = array.axes.find_first_of("dst") != std::string::npos;
    if (array.values.empty() || (has_columns && array.names.size() > kMostColumns)) {
      too_large_.push_back(ShapeText(array));
    } else if (array.axes == "kd" || array.axes == "ks" || array.axes == "kt") {
      if (rows <= kMostComponents) AddRows(array, rows);
    } else if (array.axes == "d") {
      AddVector(array);
    } else if (array.axes == "dd") {
      AddMatrix(array.name, array, array.values);
    } else if (array.axes == "kdd" && rows <= kMostMatrices) {
      const size_t size = array.values.size() / rows;
      for (size_t k = 0; k < rows; ++k) {
        AddMatrix(absl::StrCat(array.name, " ", k), array,
                  std::span(array.values).subspan(k * size, size));
      }
    } else if (array.values.size() == 1) {
      absl::StrAppend(&out_, "\n", Printable(array.name), "  ", Short(array.values[0]), "\n");
    } else {
      too_large_.push_back(ShapeText(array));
    }
  }

  std::string ComponentName(size_t k) const {
    return has_noise_ && k + 1 == num_components_ ? "noise" : absl::StrCat(k);
  }

  // One table for all that is one number per component.
  void AddComponents() {
    if (num_components_ > kMostComponents) {
      too_large_.push_back(absl::StrCat("the parameters of ", num_components_,
                                        has_states_ ? " states" : " components"));
      return;
    }
    const bool has_separation = num_components_ > 1 && separation_.size() == num_components_;
    const auto of_component = [](const Array& array) { return array.axes == "k"; };
    if (!has_separation && std::none_of(arrays_.begin(), arrays_.end(), of_component)) return;
    TextTable table("rrrr" + std::string(arrays_.size(), 'r'));
    std::vector<std::string> head = {has_states_ ? "state" : "component"};
    for (const Array& array : arrays_) {
      if (of_component(array)) head.push_back(Printable(array.name));
    }
    const bool has_durations = expected_durations_.size() == num_components_;
    const bool has_stationary = stationary_.size() == num_components_;
    if (has_durations) head.push_back("expected duration");
    if (has_stationary) head.push_back("stationary");
    if (has_separation) head.push_back("separation");
    table.Add(std::move(head));
    for (size_t k = 0; k < num_components_; ++k) {
      std::vector<std::string> row = {ComponentName(k)};
      for (const Array& array : arrays_) {
        if (of_component(array)) {
          row.push_back(k < array.values.size() ? Short(array.values[k]) : "");
        }
      }
      if (has_durations) row.push_back(Short(expected_durations_[k]));
      if (has_stationary) row.push_back(Short(stationary_[k]));
      if (has_separation) row.push_back(Short(separation_[k]));
      table.Add(std::move(row));
    }
    absl::StrAppend(&out_, "\n", table.ToString());
  }

  static TextTable Start(const std::string& title, const Array& array) {
    TextTable table("l" + std::string(array.names.size(), 'r'));
    std::vector<std::string> head = {Printable(title)};
    for (const std::string& name : array.names) head.push_back(Printable(name));
    table.Add(std::move(head));
    return table;
  }

  static std::vector<std::string> Row(std::string title, const Array& array,
                                      std::span<const double> values) {
    std::vector<std::string> row = {std::move(title)};
    for (const double value : values.subspan(0, std::min(values.size(), array.names.size()))) {
      row.push_back(Short(value));
    }
    return row;
  }

  void AddRows(const Array& array, size_t rows) {
    TextTable table = Start(array.name, array);
    const size_t width = array.values.size() / rows;
    for (size_t k = 0; k < rows; ++k) {
      table.Add(Row(absl::StrCat(k), array, std::span(array.values).subspan(k * width, width)));
    }
    absl::StrAppend(&out_, "\n", table.ToString());
  }

  void AddVector(const Array& array) {
    TextTable table = Start(array.name, array);
    table.Add(Row("all", array, array.values));
    absl::StrAppend(&out_, "\n", table.ToString());
  }

  void AddMatrix(const std::string& title, const Array& array, std::span<const double> values) {
    TextTable table = Start(title, array);
    const size_t width = array.names.size();
    for (size_t i = 0; (i + 1) * width <= values.size(); ++i) {
      table.Add(Row(Printable(array.names[i]), array, values.subspan(i * width, width)));
    }
    absl::StrAppend(&out_, "\n", table.ToString());
  }

  std::vector<Array> arrays_;
  std::vector<double> separation_;
  bool has_noise_ = false;
  bool has_states_ = false;
  std::vector<double> expected_durations_;
  std::vector<double> stationary_;
  size_t num_components_ = 0;
  std::vector<std::string> too_large_;
  std::string out_;
};

}  // namespace

std::string ParameterTables(const v1::ModelVersion& version) { return Tables(version).ToString(); }

}  // namespace emserve::emctl
