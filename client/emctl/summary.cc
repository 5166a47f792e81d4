#include "client/emctl/summary.h"

#include <algorithm>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/emctl/text.h"
#include "client/emctl/words.h"
#include "proto/wire/tensor.h"

namespace emserve::emctl {
namespace {

// Larger tables are left to --json.
constexpr size_t kMostComponents = 32;
constexpr size_t kMostColumns = 12;
constexpr size_t kMostMatrices = 12;
constexpr int kMostOptima = 10;
constexpr size_t kMostWarnings = 10;

// A parameter, with what its dimensions run over: 'k' components, 'd' columns of the data.
struct Array {
  std::string name;
  std::string axes;
  std::vector<int64_t> shape;
  std::vector<double> values;
};

// Shapes alone do not tell: with as many components as columns [K] and [D] look the same.
std::string AxesOf(const v1::ModelSpec& spec, const v1::NamedTensor& array) {
  const std::string& name = array.name();
  const int rank = array.tensor().shape_size();
  if (name == "weights") return "k";
  if (name == "means") return "kd";
  if (name == "covariances") return rank == 3 ? "kdd" : "dd";
  if (name == "variances") {
    switch (spec.mixture().emission().gaussian().covariance()) {
      case v1::COVARIANCE_DIAGONAL:
        return "kd";
      case v1::COVARIANCE_TIED_DIAGONAL:
        return "d";
      case v1::COVARIANCE_SPHERICAL:
        return "k";
      default:
        return "";
    }
  }
  return "";
}

std::vector<Array> Decode(const v1::ModelVersion& version) {
  std::vector<Array> arrays;
  for (const v1::NamedTensor& named : version.parameters().arrays()) {
    Array array{.name = named.name(),
                .axes = AxesOf(version.spec().model(), named),
                .shape = {named.tensor().shape().begin(), named.tensor().shape().end()},
                .values = {}};
    absl::StatusOr<std::vector<double>> values = DecodeTensor(named.tensor(), named.name());
    if (values.ok()) array.values = *std::move(values);
    if (array.axes.size() != array.shape.size()) array.axes.clear();
    arrays.push_back(std::move(array));
  }
  return arrays;
}

std::string ShapeText(const Array& array) {
  return absl::StrCat(array.name, " [", absl::StrJoin(array.shape, ", "), "]");
}

// The tables of the parameters; `columns` are the names of the data's columns.
class ParameterTables {
 public:
  ParameterTables(std::vector<Array> arrays, std::vector<std::string> columns)
      : arrays_(std::move(arrays)), columns_(std::move(columns)) {}

  std::string ToString() {
    for (const Array& array : arrays_) {
      if (array.axes == "k") num_components_ = static_cast<size_t>(array.shape[0]);
    }
    if (num_components_ > 0) AddComponents();
    for (const Array& array : arrays_) {
      if (array.axes == "k") continue;
      if (array.values.empty() || columns_.size() > kMostColumns) {
        too_large_.push_back(ShapeText(array));
      } else if (array.axes == "kd") {
        if (num_components_ <= kMostComponents) AddRows(array);
      } else if (array.axes == "d") {
        AddVector(array);
      } else if (array.axes == "dd") {
        AddMatrix(array.name, array.values);
      } else if (array.axes == "kdd" && num_components_ <= kMostMatrices) {
        const size_t size = array.values.size() / num_components_;
        for (size_t k = 0; k < num_components_; ++k) {
          AddMatrix(absl::StrCat(array.name, " ", k),
                    std::span(array.values).subspan(k * size, size));
        }
      } else if (array.values.size() == 1) {
        absl::StrAppend(&out_, "\n", array.name, "  ", Short(array.values[0]), "\n");
      } else {
        too_large_.push_back(ShapeText(array));
      }
    }
    if (!too_large_.empty()) {
      absl::StrAppend(&out_, "\nnot shown (use --json): ", absl::StrJoin(too_large_, ", "), "\n");
    }
    return std::move(out_);
  }

 private:
  // One table for all that is one number per component.
  void AddComponents() {
    if (num_components_ > kMostComponents) {
      too_large_.push_back(absl::StrCat("the parameters of ", num_components_, " components"));
      return;
    }
    TextTable table("r" + std::string(arrays_.size(), 'r'));
    std::vector<std::string> head = {"component"};
    for (const Array& array : arrays_) {
      if (array.axes == "k") head.push_back(array.name);
    }
    table.Add(std::move(head));
    for (size_t k = 0; k < num_components_; ++k) {
      std::vector<std::string> row = {absl::StrCat(k)};
      for (const Array& array : arrays_) {
        if (array.axes == "k") row.push_back(k < array.values.size() ? Short(array.values[k]) : "");
      }
      table.Add(std::move(row));
    }
    absl::StrAppend(&out_, "\n", table.ToString());
  }

  TextTable Start(const std::string& title) const {
    TextTable table("l" + std::string(columns_.size(), 'r'));
    std::vector<std::string> head = {title};
    for (const std::string& name : columns_) head.push_back(Printable(name));
    table.Add(std::move(head));
    return table;
  }

  std::vector<std::string> Row(std::string title, std::span<const double> values) const {
    std::vector<std::string> row = {std::move(title)};
    for (const double value : values.subspan(0, std::min(values.size(), columns_.size()))) {
      row.push_back(Short(value));
    }
    return row;
  }

  void AddRows(const Array& array) {
    TextTable table = Start(array.name);
    const size_t width = columns_.size();
    for (size_t k = 0; (k + 1) * width <= array.values.size(); ++k) {
      table.Add(Row(absl::StrCat(k), std::span(array.values).subspan(k * width, width)));
    }
    absl::StrAppend(&out_, "\n", table.ToString());
  }

  void AddVector(const Array& array) {
    TextTable table = Start(array.name);
    table.Add(Row("all", array.values));
    absl::StrAppend(&out_, "\n", table.ToString());
  }

  void AddMatrix(const std::string& title, std::span<const double> values) {
    TextTable table = Start(title);
    const size_t width = columns_.size();
    for (size_t i = 0; (i + 1) * width <= values.size(); ++i) {
      table.Add(Row(Printable(columns_[i]), values.subspan(i * width, width)));
    }
    absl::StrAppend(&out_, "\n", table.ToString());
  }

  const std::vector<Array> arrays_;
  const std::vector<std::string> columns_;
  size_t num_components_ = 0;
  std::vector<std::string> too_large_;
  std::string out_;
};

// What a person wonders about an optimum. Degenerate ones, with a variance held at its floor, come
// last however high their objective is.
std::string OptimumMark(const v1::FitReport& report, int i) {
  if (i == 0) return report.termination() == v1::TERMINATION_DEGENERATE ? "(degenerate)" : "";
  const v1::Optimum& optimum = report.optima(i);
  const int first = optimum.first_restart();
  const bool ended_degenerate = first >= 0 && first < report.restarts_size() &&
                                report.restarts(first).termination() == v1::TERMINATION_DEGENERATE;
  const bool is_degenerate = ended_degenerate || optimum.objective() > report.optima(0).objective();
  return is_degenerate ? "(degenerate, not chosen)" : "";
}

std::string Optima(const v1::FitReport& report) {
  int restarts = 0;
  for (const v1::Optimum& optimum : report.optima()) restarts += optimum.count();
  if (restarts < 2) return "";
  TextTable table("rrl");
  table.Add({"optimum", "restarts"});
  for (int i = 0; i < std::min(report.optima_size(), kMostOptima); ++i) {
    table.Add({Fixed(report.optima(i).objective()), absl::StrCat(report.optima(i).count()),
               OptimumMark(report, i)});
  }
  std::string out = "\n" + table.ToString();
  if (report.optima_size() > kMostOptima) {
    absl::StrAppend(&out, "and ", report.optima_size() - kMostOptima, " more\n");
  }
  return out;
}

// One line on all repairs for this reason: many components can need the same.
std::string RepairLine(const v1::FitReport& report, const std::string& reason) {
  int count = 0;
  const v1::Repair* largest = nullptr;
  for (const v1::Repair& repair : report.repairs()) {
    if (repair.reason() != reason) continue;
    ++count;
    if (largest == nullptr || repair.amount() > largest->amount()) largest = &repair;
  }
  std::string line = absl::StrCat("repair: ", Printable(reason));
  if (count > 1) absl::StrAppend(&line, ", ", count, " times, the largest");
  if (largest->component() >= 0) absl::StrAppend(&line, ", component ", largest->component());
  return absl::StrCat(line, ", amount ", Short(largest->amount()));
}

std::string Remarks(const v1::FitReport& report, const std::vector<v1::WarningEvent>& warnings) {
  std::string out;
  std::vector<std::string> reasons;
  for (const v1::Repair& repair : report.repairs()) {
    if (std::find(reasons.begin(), reasons.end(), repair.reason()) == reasons.end()) {
      reasons.push_back(repair.reason());
    }
  }
  for (const std::string& reason : reasons) absl::StrAppend(&out, "\n", RepairLine(report, reason));
  for (size_t i = 0; i < std::min(warnings.size(), kMostWarnings); ++i) {
    absl::StrAppend(&out, "\n", WarningLine(warnings[i]));
  }
  if (warnings.size() > kMostWarnings) {
    absl::StrAppend(&out, "\nand ", warnings.size() - kMostWarnings, " more warnings (use --json)");
  }
  return out.empty() ? out : out + "\n";
}

}  // namespace

std::string WarningLine(const v1::WarningEvent& warning) {
  std::string line = absl::StrCat("warning ", warning.reason());
  if (warning.restart() >= 0) absl::StrAppend(&line, ", restart ", warning.restart());
  return Printable(absl::StrCat(line, ": ", warning.message()));
}

std::string DescribeSpec(const v1::ModelSpec& spec) {
  if (!spec.has_mixture()) return "model";
  const v1::EmissionSpec& emission = spec.mixture().emission();
  if (!emission.has_gaussian()) return "mixture";
  return absl::StrCat("Gaussian mixture, ", CovarianceWord(emission.gaussian().covariance()),
                      " covariance");
}

std::string Summary(const v1::ModelVersion& version,
                    const std::vector<v1::WarningEvent>& warnings) {
  const v1::FitReport& report = version.report();
  std::vector<std::string> columns;
  for (const v1::Column& column : version.columns()) columns.push_back(column.name());
  TextTable figures("ll");
  figures.Add({"model", Printable(version.name())});
  figures.Add({"family", DescribeSpec(version.spec().model())});
  if (version.num_rows() > 0) {
    figures.Add({"data", absl::StrCat(version.num_rows(), " rows of ",
                                      Printable(absl::StrJoin(columns, ", ")))});
  }
  figures.Add({"termination",
               absl::StrCat(
                   absl::StrReplaceAll(
                       EnumWord(*v1::Termination_descriptor(), report.termination()), {{"_", " "}}),
                   " after ", report.iterations(), " iterations of restart ", report.restart())});
  figures.Add({"", Printable(report.message())});
  figures.Add({"log-likelihood", Fixed(report.log_likelihood())});
  if (report.log_prior() != 0) figures.Add({"objective", Fixed(report.objective())});
  const v1::Criteria& criteria = report.criteria();
  figures.Add({"AIC", Fixed(criteria.aic())});
  figures.Add({"BIC", Fixed(criteria.bic())});
  figures.Add({"ICL", Fixed(criteria.icl())});
  figures.Add({"free parameters", absl::StrCat(criteria.degrees_of_freedom())});
  return absl::StrCat(figures.ToString(),
                      ParameterTables(Decode(version), std::move(columns)).ToString(),
                      Optima(report), Remarks(report, warnings));
}

}  // namespace emserve::emctl
