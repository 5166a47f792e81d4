#include "server/codec/fit_spec.h"

#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/wire/model_spec.h"
#include "server/codec/emission_spec.h"
#include "server/codec/fields.h"
#include "server/codec/model_spec.h"

namespace emserve::server {
namespace {

constexpr std::array kStartMethods = {
    std::pair(v1::START_METHOD_AUTO, StartMethod::kAuto),
    std::pair(v1::START_METHOD_KMEANS_PLUS_PLUS, StartMethod::kKMeansPlusPlus),
    std::pair(v1::START_METHOD_RANDOM_ROWS, StartMethod::kRandomRows),
    std::pair(v1::START_METHOD_KMEANS, StartMethod::kKMeans),
    std::pair(v1::START_METHOD_RANDOM_RESPONSIBILITIES, StartMethod::kRandomResponsibilities),
    std::pair(v1::START_METHOD_SHORT_RUNS, StartMethod::kShortRuns),
    std::pair(v1::START_METHOD_AGGLOMERATIVE, StartMethod::kAgglomerative),
    std::pair(v1::START_METHOD_KMEANS_PARALLEL, StartMethod::kKMeansParallel),
};
constexpr std::array kAlgorithms = {
    std::pair(v1::ALGORITHM_EM, Algorithm::kEm),
    std::pair(v1::ALGORITHM_CLASSIFICATION_EM, Algorithm::kClassificationEm),
    std::pair(v1::ALGORITHM_STOCHASTIC_EM, Algorithm::kStochasticEm),
    std::pair(v1::ALGORITHM_ANNEALED_EM, Algorithm::kAnnealedEm),
    std::pair(v1::ALGORITHM_STEPWISE_EM, Algorithm::kStepwiseEm),
};
constexpr std::array kAccelerations = {
    std::pair(v1::ACCELERATION_NONE, Acceleration::kNone),
    std::pair(v1::ACCELERATION_SQUAREM, Acceleration::kSquarem),
    std::pair(v1::ACCELERATION_ANDERSON, Acceleration::kAnderson),
};
constexpr std::array kCollapsePolicies = {
    std::pair(v1::COLLAPSE_POLICY_RIDGE, CollapsePolicy::kRidge),
    std::pair(v1::COLLAPSE_POLICY_FAIL, CollapsePolicy::kFail),
    std::pair(v1::COLLAPSE_POLICY_RESPAWN, CollapsePolicy::kRespawn),
    std::pair(v1::COLLAPSE_POLICY_DROP, CollapsePolicy::kDrop),
};
constexpr std::array kStorages = {
    std::pair(v1::STORAGE_FLOAT64, Storage::kFloat64),
    std::pair(v1::STORAGE_FLOAT32, Storage::kFloat32),
};

absl::Status DecodeStart(const v1::Start& start, const std::string& path, FitOptions& options) {
  if (start.has_short_runs()) options.short_runs = start.short_runs();
  if (start.has_short_iterations()) options.short_iterations = start.short_iterations();
  switch (start.start_case()) {
    case v1::Start::kParameters:
    case v1::Start::kModel:
      options.start = StartMethod::kGiven;
      return absl::OkStatus();
    case v1::Start::kResponsibilityColumns:
      options.start = StartMethod::kResponsibilities;
      if (!start.responsibility_columns().columns().empty()) return absl::OkStatus();
      return absl::InvalidArgumentError(absl::StrCat(
          path, ".responsibility_columns.columns: got none, must be one per component, or one"));
    case v1::Start::kMethod:
      return DecodeEnum(kStartMethods, start.method(), absl::StrCat(path, ".method"),
                        options.start);
    case v1::Start::START_NOT_SET:
      break;
  }
  return absl::OkStatus();
}

absl::Status DecodeStopping(const v1::Stopping& stopping, const std::string& path,
                            FitOptions& options) {
  if (stopping.has_max_iterations()) options.max_iterations = stopping.max_iterations();
  if (stopping.has_relative_tolerance()) {
    options.relative_tolerance = stopping.relative_tolerance();
  }
  if (stopping.has_absolute_tolerance()) {
    options.absolute_tolerance = stopping.absolute_tolerance();
  }
  if (stopping.has_parameter_tolerance()) {
    options.parameter_tolerance = stopping.parameter_tolerance();
  }
  if (stopping.has_aitken_tolerance()) options.aitken_tolerance = stopping.aitken_tolerance();
  if (stopping.has_time_budget()) {
    absl::StatusOr<absl::Duration> budget =
        DecodePositiveDuration(stopping.time_budget(), absl::StrCat(path, ".time_budget"));
    if (!budget.ok()) return budget.status();
    options.time_budget = *budget;
  }
  return absl::OkStatus();
}

absl::Status DecodeVariant(const v1::Variant& variant, const std::string& path,
                           FitOptions& options) {
  if (variant.has_stochastic_iterations()) {
    options.stochastic_iterations = variant.stochastic_iterations();
  }
  if (variant.has_initial_inverse_temperature()) {
    options.initial_inverse_temperature = variant.initial_inverse_temperature();
  }
  if (variant.has_temperature_growth()) options.temperature_growth = variant.temperature_growth();
  if (variant.has_stepwise_epochs()) options.stepwise_epochs = variant.stepwise_epochs();
  if (variant.has_stepwise_batch_rows()) {
    options.stepwise_batch_rows = variant.stepwise_batch_rows();
  }
  if (variant.has_stepwise_exponent()) options.stepwise_exponent = variant.stepwise_exponent();
  if (variant.has_stepwise_delay()) options.stepwise_delay = variant.stepwise_delay();
  return DecodeEnum(kAlgorithms, variant.algorithm(), absl::StrCat(path, ".algorithm"),
                    options.algorithm);
}

void EncodeVariant(const FitOptions& options, v1::Variant& variant) {
  variant.set_algorithm(EncodeEnum(kAlgorithms, options.algorithm));
  variant.set_stochastic_iterations(options.stochastic_iterations);
  variant.set_initial_inverse_temperature(options.initial_inverse_temperature);
  variant.set_temperature_growth(options.temperature_growth);
  variant.set_stepwise_epochs(options.stepwise_epochs);
  variant.set_stepwise_batch_rows(options.stepwise_batch_rows);
  variant.set_stepwise_exponent(options.stepwise_exponent);
  variant.set_stepwise_delay(options.stepwise_delay);
}

}  // namespace

absl::StatusOr<FitOptions> DecodeFitOptions(const v1::FitSpec& spec, const std::string& path) {
  FitOptions options;
  absl::Status status = DecodeStart(spec.start(), absl::StrCat(path, ".start"), options);
  if (status.ok()) {
    status = DecodeStopping(spec.stopping(), absl::StrCat(path, ".stopping"), options);
  }
  if (status.ok()) {
    status = DecodeVariant(spec.variant(), absl::StrCat(path, ".variant"), options);
  }
  if (status.ok()) {
    status = DecodeEnum(kAccelerations, spec.acceleration(), absl::StrCat(path, ".acceleration"),
                        options.acceleration);
  }
  if (status.ok()) {
    status = DecodeEnum(kCollapsePolicies, spec.collapse(), absl::StrCat(path, ".collapse"),
                        options.collapse);
  }
  if (!status.ok()) return status;
  if (spec.has_anderson_depth()) options.anderson_depth = spec.anderson_depth();
  if (spec.has_max_respawns()) options.max_respawns = spec.max_respawns();
  if (spec.has_seed()) options.seed = spec.seed();
  const bool given =
      options.start == StartMethod::kGiven || options.start == StartMethod::kResponsibilities;
  if (given) options.restarts = 1;
  if (spec.has_restarts()) options.restarts = spec.restarts();
  if (given && options.restarts != 1) {
    return absl::InvalidArgumentError(absl::StrCat(path, ".restarts: got ", options.restarts,
                                                   ", must be 1 or absent with a given start"));
  }
  return options;
}

absl::StatusOr<Storage> DecodeStorage(const v1::FitSpec& spec, const std::string& path) {
  Storage storage = Storage::kFloat64;
  absl::Status status =
      DecodeEnum(kStorages, spec.storage(), absl::StrCat(path, ".storage"), storage);
  if (!status.ok()) return status;
  return storage;
}

void CompleteModel(const ModelOptions& model, v1::FitSpec& spec) {
  EncodeModelSpec(model, *spec.mutable_model());
  if (const EmissionOptions* const emission = EmissionOf(model)) {
    SetProductColumns(*emission, {spec.columns().begin(), spec.columns().end()},
                      MutableEmissionOf(*spec.mutable_model()));
  }
}

void CompleteFitSpec(const ModelOptions& model, const FitOptions& options, v1::FitSpec& spec) {
  CompleteModel(model, spec);
  spec.set_seed(options.seed);
  spec.set_restarts(options.restarts);
  if (const v1::StartMethod method = EncodeEnum(kStartMethods, options.start);
      method != v1::START_METHOD_UNSPECIFIED) {
    spec.mutable_start()->set_method(method);
    spec.mutable_start()->set_short_runs(options.short_runs);
    spec.mutable_start()->set_short_iterations(options.short_iterations);
  }
  v1::Stopping& stopping = *spec.mutable_stopping();
  stopping.set_max_iterations(options.max_iterations);
  stopping.set_relative_tolerance(options.relative_tolerance);
  stopping.set_absolute_tolerance(options.absolute_tolerance);
  stopping.set_parameter_tolerance(options.parameter_tolerance);
  stopping.set_aitken_tolerance(options.aitken_tolerance);
  EncodeVariant(options, *spec.mutable_variant());
  spec.set_acceleration(EncodeEnum(kAccelerations, options.acceleration));
  spec.set_anderson_depth(options.anderson_depth);
  spec.set_collapse(EncodeEnum(kCollapsePolicies, options.collapse));
  spec.set_max_respawns(options.max_respawns);
  if (spec.storage() == v1::STORAGE_UNSPECIFIED) spec.set_storage(v1::STORAGE_FLOAT64);
}

}  // namespace emserve::server
