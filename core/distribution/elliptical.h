// Means and covariances of elliptical components, and the passes over blocks that need them.
//
// Below the emissions that differ in what they make of the squared distances: the Gaussian
// (gaussian.cc) and Student's t (student_t.cc).
#ifndef EMSERVE_CORE_DISTRIBUTION_ELLIPTICAL_H_
#define EMSERVE_CORE_DISTRIBUTION_ELLIPTICAL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/data/block.h"
#include "core/data/summary.h"
#include "core/distribution/covariance.h"
#include "core/distribution/emission.h"
#include "core/distribution/location.h"
#include "core/distribution/patterns.h"
#include "core/em/constraints.h"
#include "core/em/layout.h"
#include "core/em/model.h"
#include "core/em/scratch.h"

namespace emserve {

// What the components are made of; field names are those of the emissions' options.
struct EllipticalOptions {
  Covariance covariance = Covariance::kFull;
  double ridge = 0;  // as GaussianOptions::ridge
  std::optional<NormalInverseWishart> prior;
  double other_parameters = 0;  // how many the emission has besides
};

// Memory of one thread; reused from block to block.
class EllipticalWorkspace : public Emission::Workspace {
 public:
  EllipticalWorkspace(const Covariances& covariances, int num_columns, int max_rows);

  // What blocks with missing cells need, made when the first one comes.
  struct Missing {
    Missing(const Covariances& covariances, int num_columns, int max_rows);
    Patterns patterns;
    Scratch completed;         // [D x stride]
    Scratch variance;          // [D x stride]
    Scratch log_determinants;  // [stride]
    Scratch num_observed;      // [stride] observed cells of each row, 0 for padding
    std::unique_ptr<Covariances::MissingWorkspace> of_covariances;
  };
  // With the patterns of `block` and their num_observed.
  Missing& ForMissing(const Covariances& covariances, const Block& block);

  const Scratch scratch;   // of the covariances
  const Scratch gathered;  // [D + 1 x stride] some rows of a block and their responsibilities
  std::vector<int> rows;   // which

 private:
  std::unique_ptr<Missing> missing_;
};

// Parameters means [K, D], then those of covariance.h; statistics first [K, D], then second, both
// centred on the means. They are the first parameters and statistics of the emission that has them,
// and spans here may be longer. Immutable after Constrain; thread-safe.
class EllipticalComponents {
 public:
  // InvalidArgument "ridge: ...", "covariance: ..." or "prior.<field>: ..."; FailedPrecondition
  // "columns[<name>]: ..." when the data cannot support the covariance.
  static absl::StatusOr<EllipticalComponents> Make(const EllipticalOptions& options,
                                                   int num_components, const Summary& summary,
                                                   const std::vector<std::string>& names);

  const Covariances& covariances() const { return *covariances_; }
  int num_components() const { return num_components_; }
  int num_columns() const { return num_columns_; }
  int64_t num_parameters() const { return num_parameters_; }
  int64_t num_statistics() const { return num_statistics_; }
  int64_t scratch_per_row() const;
  int64_t degrees_of_freedom(const std::vector<bool>& active) const;

  void AddParameters(Layout& parameters) const;
  void AddStatistics(Layout& statistics) const;

  // As Emission's; of `constraints` the first num_parameters() are read.
  absl::Status Constrain(const Constraints& constraints);
  absl::Status Validate(std::span<const double> params) const;
  absl::Status Prepare(std::span<const double> params, Covariances::Prepared& prepared) const;
  void Reference(const Summary& summary, std::span<double> params) const;
  double LogPrior(std::span<const double> params) const;
  void ToUnconstrained(std::span<const double> params, std::span<double> coordinates) const;
  void FromUnconstrained(std::span<const double> coordinates, std::span<const double> reference,
                         std::span<double> params) const;

  // The occupancy, with 0 for components that are empty, which are reported: less than 1e-10 of an
  // average row belongs to them, so sums of posteriors no longer say where they are.
  std::vector<double> Effective(std::span<const double> occupancy,
                                const MaximizeContext& context) const;

  // As location.h's. `weights` [K] are what the statistics first and second weigh the rows by in
  // all, `effective` [K] the occupancy by Effective.
  absl::Status Maximize(std::span<const double> effective, std::span<const double> weights,
                        std::span<const double> params, std::span<const double> stats,
                        std::span<double> next, const MaximizeContext& context) const;
  void Recenter(std::span<const double> params, std::span<const double> centre,
                std::span<const double> weights, std::span<double> stats) const;
  void ExpectedStatistics(std::span<const double> params, std::span<const double> occupancy,
                          std::span<double> stats) const;
  double ExpectedLogDensity(std::span<const double> centre, std::span<const double> occupancy,
                            std::span<const double> weights, std::span<const double> stats,
                            std::span<const double> params) const;

  // Whether so few rows of a complete block belong to a component, of `responsibility` [stride],
  // that Gather pays.
  bool IsSparse(const double* responsibility, const Block& block) const;
  // The rows that do, with their responsibilities in the place of weights. Precondition: IsSparse.
  // A view of `workspace`.
  Block Gather(const double* responsibility, const Block& block,
               EllipticalWorkspace& workspace) const;

  std::span<double> Means(std::span<double> params) const { return params.first(num_means()); }
  std::span<const double> Means(std::span<const double> params) const {
    return params.first(num_means());
  }
  std::span<double> OfCovariances(std::span<double> params) const {
    return params.subspan(num_means(), num_parameters_ - num_means());
  }
  std::span<const double> OfCovariances(std::span<const double> params) const {
    return params.subspan(num_means(), num_parameters_ - num_means());
  }
  // The component's first moments [D], and the scatter of all components.
  std::span<double> First(std::span<double> stats, int component) const {
    return stats.subspan(static_cast<int64_t>(component) * num_columns_, num_columns_);
  }
  std::span<double> Scatter(std::span<double> stats) const {
    return stats.subspan(num_means(), num_statistics_ - num_means());
  }
  std::span<const double> Scatter(std::span<const double> stats) const {
    return stats.subspan(num_means(), num_statistics_ - num_means());
  }

 private:
  EllipticalComponents(int num_components, const Summary& summary, std::vector<double> spread,
                       std::unique_ptr<Covariances> covariances,
                       std::optional<EllipticalPrior> prior);
  int64_t num_means() const { return static_cast<int64_t>(num_components_) * num_columns_; }

  int num_components_;
  int num_columns_;
  double mean_weight_;
  std::vector<double> spread_;  // [D] by CheckSpread
  std::unique_ptr<Covariances> covariances_;
  std::optional<EllipticalPrior> prior_;
  Constraints constraints_;  // of the means
  int64_t num_parameters_ = 0;
  int64_t num_statistics_ = 0;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_DISTRIBUTION_ELLIPTICAL_H_
