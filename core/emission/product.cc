#include "core/emission/product.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/em/scratch.h"

namespace emserve {
namespace {

class ProductPrepared final : public Emission::Prepared {
 public:
  std::vector<std::unique_ptr<Emission::Prepared>> parts;
};

class ProductWorkspace final : public Emission::Workspace {
 public:
  explicit ProductWorkspace(int64_t log_density_size) : log_density(log_density_size) {}
  std::vector<std::unique_ptr<Emission::Workspace>> parts;
  Scratch log_density;  // [K x stride] of one part
};

class Product final : public Emission {
 public:
  explicit Product(std::vector<ProductPart> parts) {
    for (ProductPart& part : parts) {
      const std::string prefix = part.name + ".";
      const int64_t first_parameter = parameters_.Append(prefix, part.emission->parameters());
      const int64_t first_statistic = statistics_.Append(prefix, part.emission->statistics());
      const int num_columns = part.emission->num_columns();
      parts_.push_back({.name = std::move(part.name),
                        .emission = std::move(part.emission),
                        .first_column = num_columns_,
                        .first_parameter = first_parameter,
                        .first_statistic = first_statistic});
      num_columns_ += num_columns;
    }
  }

  const Layout& parameters() const override { return parameters_; }
  const Layout& statistics() const override { return statistics_; }
  int num_components() const override { return parts_[0].emission->num_components(); }
  int num_columns() const override { return num_columns_; }
  int64_t scratch_per_row() const override {
    int64_t sum = parts_.size() > 1 ? num_components() : 0;
    for (const Part& part : parts_) sum += part.emission->scratch_per_row();
    return sum;
  }
  int num_seeds() const override { return parts_[0].emission->num_seeds(); }
  bool starts_hard() const override {
    return std::all_of(parts_.begin(), parts_.end(),
                       [](const Part& part) { return part.emission->starts_hard(); });
  }
  bool has_distances() const override {
    return std::all_of(parts_.begin(), parts_.end(),
                       [](const Part& part) { return part.emission->has_distances(); });
  }
  int64_t degrees_of_freedom(const std::vector<bool>& active) const override {
    int64_t sum = 0;
    for (const Part& part : parts_) sum += part.emission->degrees_of_freedom(active);
    return sum;
  }

  absl::Status Constrain(Constraints constraints) override {
    for (const Part& part : parts_) {
      const absl::Status status = part.emission->Constrain(
          constraints.Slice(part.first_parameter, part.emission->parameters().size()));
      if (status.ok()) continue;
      absl::string_view message = status.message();
      if (!absl::ConsumePrefix(&message, "constraints: ")) return status;
      return absl::Status(status.code(),
                          absl::StrCat("constraints: part ", part.name, " ", message));
    }
    return absl::OkStatus();
  }

  bool checks_rows() const override {
    return std::any_of(parts_.begin(), parts_.end(),
                       [](const Part& part) { return part.emission->checks_rows(); });
  }
  absl::Status CheckRows(const Block& block, const std::vector<std::string>& names) const override {
    for (const Part& part : parts_) {
      const auto begin = names.begin() + part.first_column;
      const std::vector<std::string> own(begin, begin + part.emission->num_columns());
      if (absl::Status status = part.emission->CheckRows(Columns(part, block), own); !status.ok()) {
        return status;
      }
    }
    return absl::OkStatus();
  }

  std::unique_ptr<Emission::Prepared> NewPrepared() const override {
    auto prepared = std::make_unique<ProductPrepared>();
    for (const Part& part : parts_) prepared->parts.push_back(part.emission->NewPrepared());
    return prepared;
  }
  std::unique_ptr<Workspace> NewWorkspace(int max_rows) const override {
    auto workspace = std::make_unique<ProductWorkspace>(
        parts_.size() > 1 ? static_cast<int64_t>(num_components()) * PaddedRows(max_rows) : 0);
    for (const Part& part : parts_)
      workspace->parts.push_back(part.emission->NewWorkspace(max_rows));
    return workspace;
  }

  absl::Status Validate(std::span<const double> params) const override {
    for (const Part& part : parts_) {
      const absl::Status status = part.emission->Validate(OfPart(part, params));
      if (!status.ok()) return Named(part, status);
    }
    return absl::OkStatus();
  }
  absl::Status Prepare(std::span<const double> params,
                       Emission::Prepared& prepared) const override {
    for (size_t p = 0; p < parts_.size(); ++p) {
      const absl::Status status = parts_[p].emission->Prepare(
          OfPart(parts_[p], params), *static_cast<ProductPrepared&>(prepared).parts[p]);
      if (!status.ok()) return Named(parts_[p], status);
    }
    return absl::OkStatus();
  }

  void LogDensity(const Emission::Prepared& prepared, const Block& block, Workspace& workspace,
                  std::span<double> log_density) const override {
    auto& work = static_cast<ProductWorkspace&>(workspace);
    for (size_t p = 0; p < parts_.size(); ++p) {
      const std::span<double> of_part =
          p == 0 ? log_density : std::span(work.log_density.data(), log_density.size());
      parts_[p].emission->LogDensity(*Cast(prepared).parts[p], Columns(parts_[p], block),
                                     *work.parts[p], of_part);
      for (size_t j = 0; p > 0 && j < of_part.size(); ++j) log_density[j] += of_part[j];
    }
  }

  void Accumulate(const Emission::Prepared& prepared, const Block& block,
                  std::span<const double> resp, Workspace& workspace,
                  std::span<double> stats) const override {
    for (size_t p = 0; p < parts_.size(); ++p) {
      parts_[p].emission->Accumulate(*Cast(prepared).parts[p], Columns(parts_[p], block), resp,
                                     *static_cast<ProductWorkspace&>(workspace).parts[p],
                                     SumsOfPart(parts_[p], stats));
    }
  }

  absl::Status Maximize(std::span<const double> params, std::span<const double> occupancy,
                        std::span<const double> stats, std::span<double> next,
                        const MaximizeContext& context) const override {
    const size_t before = context.repairs.size();
    for (const Part& part : parts_) {
      std::vector<Repair> repairs;
      const absl::Status status =
          part.emission->Maximize(OfPart(part, params), occupancy, SumsOfPart(part, stats),
                                  OfPart(part, next), {repairs, context.stop});
      for (Repair& repair : repairs) {
        const bool known = repair.reason == kComponentEmpty &&
                           std::any_of(context.repairs.begin() + static_cast<int64_t>(before),
                                       context.repairs.end(), [&](const Repair& other) {
                                         return other.reason == kComponentEmpty &&
                                                other.component == repair.component;
                                       });
        if (!known) context.repairs.push_back(std::move(repair));
      }
      if (!status.ok()) return Named(part, status);
    }
    return absl::OkStatus();
  }

  void Recenter(std::span<const double> params, std::span<const double> centre,
                std::span<const double> occupancy, std::span<double> stats) const override {
    for (const Part& part : parts_) {
      part.emission->Recenter(OfPart(part, params), OfPart(part, centre), occupancy,
                              SumsOfPart(part, stats));
    }
  }
  void ExpectedStatistics(std::span<const double> params, std::span<const double> occupancy,
                          std::span<double> stats) const override {
    for (const Part& part : parts_) {
      part.emission->ExpectedStatistics(OfPart(part, params), occupancy, SumsOfPart(part, stats));
    }
  }
  double ExpectedLogDensity(std::span<const double> centre, std::span<const double> occupancy,
                            std::span<const double> stats,
                            std::span<const double> params) const override {
    double sum = 0;
    for (const Part& part : parts_) {
      sum += part.emission->ExpectedLogDensity(OfPart(part, centre), occupancy,
                                               SumsOfPart(part, stats), OfPart(part, params));
    }
    return sum;
  }
  double LogPrior(std::span<const double> params) const override {
    double sum = 0;
    for (const Part& part : parts_) sum += part.emission->LogPrior(OfPart(part, params));
    return sum;
  }
  void Reference(const Summary& summary, std::span<double> params) const override {
    for (const Part& part : parts_) {
      part.emission->Reference(
          SummaryOfColumns(summary, part.first_column, part.emission->num_columns()),
          OfPart(part, params));
    }
  }

  void Sample(const Emission::Prepared& prepared, int component, Random& random,
              std::span<double> row) const override {
    for (size_t p = 0; p < parts_.size(); ++p) {
      parts_[p].emission->Sample(
          *Cast(prepared).parts[p], component, random,
          row.subspan(parts_[p].first_column, parts_[p].emission->num_columns()));
    }
  }

  void Conditional(const Emission::Prepared& prepared, const Block& block,
                   std::span<const double> posterior, Workspace& workspace, double* mean,
                   double* variance) const override {
    for (size_t p = 0; p < parts_.size(); ++p) {
      const int64_t begin = static_cast<int64_t>(parts_[p].first_column) * block.stride;
      parts_[p].emission->Conditional(
          *Cast(prepared).parts[p], Columns(parts_[p], block), posterior,
          *static_cast<ProductWorkspace&>(workspace).parts[p], mean + begin, variance + begin);
    }
  }

  bool has_cumulatives() const override {
    return std::all_of(parts_.begin(), parts_.end(),
                       [](const Part& part) { return part.emission->has_cumulatives(); });
  }
  void Cumulative(const Emission::Prepared& prepared, const Block& block, int component,
                  Workspace& workspace, double* below, double* at, double* above) const override {
    for (size_t p = 0; p < parts_.size(); ++p) {
      const int64_t begin = static_cast<int64_t>(parts_[p].first_column) * block.stride;
      parts_[p].emission->Cumulative(*Cast(prepared).parts[p], Columns(parts_[p], block), component,
                                     *static_cast<ProductWorkspace&>(workspace).parts[p],
                                     below + begin, at + begin, above + begin);
    }
  }

  void ToUnconstrained(std::span<const double> params,
                       std::span<double> coordinates) const override {
    for (const Part& part : parts_) {
      part.emission->ToUnconstrained(OfPart(part, params), OfPart(part, coordinates));
    }
  }
  void FromUnconstrained(std::span<const double> coordinates, std::span<const double> reference,
                         std::span<double> params) const override {
    for (const Part& part : parts_) {
      part.emission->FromUnconstrained(OfPart(part, coordinates), OfPart(part, reference),
                                       OfPart(part, params));
    }
  }

 private:
  struct Part {
    std::string name;
    std::unique_ptr<Emission> emission;
    int first_column = 0;
    int64_t first_parameter = 0;
    int64_t first_statistic = 0;
  };

  static const ProductPrepared& Cast(const Emission::Prepared& prepared) {
    return static_cast<const ProductPrepared&>(prepared);
  }

  // The part's columns of a block, a view: strides are whole vectors, so it is aligned like the
  // block.
  static Block Columns(const Part& part, const Block& block) {
    Block columns = block;
    columns.num_columns = part.emission->num_columns();
    columns.values = block.column(part.first_column);
    if (columns.complete || columns.num_columns == block.num_columns) return columns;
    const double* const end =
        columns.values + static_cast<int64_t>(columns.num_columns) * columns.stride;
    columns.complete =
        std::none_of(columns.values, end, [](double value) { return std::isnan(value); });
    return columns;
  }

  static std::span<double> OfPart(const Part& part, std::span<double> params) {
    return params.subspan(part.first_parameter, part.emission->parameters().size());
  }
  static std::span<const double> OfPart(const Part& part, std::span<const double> params) {
    return params.subspan(part.first_parameter, part.emission->parameters().size());
  }
  static std::span<double> SumsOfPart(const Part& part, std::span<double> stats) {
    return stats.subspan(part.first_statistic, part.emission->statistics().size());
  }
  static std::span<const double> SumsOfPart(const Part& part, std::span<const double> stats) {
    return stats.subspan(part.first_statistic, part.emission->statistics().size());
  }
  static absl::Status Named(const Part& part, const absl::Status& status) {
    if (absl::IsCancelled(status)) return status;
    return absl::Status(status.code(), absl::StrCat(part.name, ".", status.message()));
  }

  std::vector<Part> parts_;
  int num_columns_ = 0;
  Layout parameters_;
  Layout statistics_;
};

bool IsName(const std::string& name) {
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  return !name.empty() && name.size() <= 63 && is_letter(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '_'; });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Emission>> MakeProduct(std::vector<ProductPart> parts) {
  if (parts.empty()) return absl::InvalidArgumentError("parts: got none, must be at least 1");
  std::set<std::string> names;
  for (size_t p = 0; p < parts.size(); ++p) {
    const auto bad = [p](const char* field, const std::string& what) {
      return absl::InvalidArgumentError(absl::StrCat("parts[", p, "].", field, ": got ", what));
    };
    const ProductPart& part = parts[p];
    if (!IsName(part.name)) {
      return bad("name", absl::StrCat("\"", part.name, "\", must match [a-z][a-z0-9_]{0,62}"));
    }
    if (!names.insert(part.name).second) {
      return bad("name", absl::StrCat("\"", part.name, "\" again, must be unique"));
    }
    if (part.emission == nullptr) return bad("emission", "none, must be given");
    const Emission& first = *parts[0].emission;
    if (part.emission->num_components() != first.num_components() ||
        part.emission->num_seeds() != first.num_seeds()) {
      return bad("emission", absl::StrCat("one with ", part.emission->num_components(),
                                          " components, of which ", part.emission->num_seeds(),
                                          " take part in starts, must be ", first.num_components(),
                                          " and ", first.num_seeds(), " like the first's"));
    }
  }
  return std::make_unique<Product>(std::move(parts));
}

Summary SummaryOfColumns(const Summary& summary, int first, int count) {
  Summary part = summary;
  const auto slice = [&](std::vector<double>& values) {
    if (!values.empty()) {
      values = std::vector<double>(values.begin() + first, values.begin() + first + count);
    }
  };
  slice(part.mean);
  slice(part.variance);
  slice(part.minimum);
  slice(part.maximum);
  slice(part.observed);
  return part;
}

}  // namespace emserve
