#include "server/codec/fit_spec.h"

#include <array>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/codec/fields.h"
#include "server/codec/model_spec.h"

namespace emserve::server {
namespace {

constexpr std::array kStartMethods = {
    std::pair(v1::START_METHOD_KMEANS_PLUS_PLUS, StartMethod::kKMeansPlusPlus),
    std::pair(v1::START_METHOD_RANDOM_ROWS, StartMethod::kRandomRows),
};

absl::Status DecodeStart(const v1::Start& start, const std::string& path, FitOptions& options) {
  switch (start.start_case()) {
    case v1::Start::kParameters:
    case v1::Start::kModel:
      options.start = StartMethod::kGiven;
      return absl::OkStatus();
    case v1::Start::kMethod:
      break;
    case v1::Start::START_NOT_SET:
      return absl::OkStatus();
  }
  if (start.method() == v1::START_METHOD_UNSPECIFIED) return absl::OkStatus();
  for (const auto& [wire, core] : kStartMethods) {
    if (wire != start.method()) continue;
    options.start = core;
    return absl::OkStatus();
  }
  return UnknownEnum(absl::StrCat(path, ".method"), *v1::StartMethod_descriptor(), start.method());
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
  if (stopping.has_time_budget()) {
    absl::StatusOr<absl::Duration> budget =
        DecodePositiveDuration(stopping.time_budget(), absl::StrCat(path, ".time_budget"));
    if (!budget.ok()) return budget.status();
    options.time_budget = *budget;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FitOptions> DecodeFitOptions(const v1::FitSpec& spec, const std::string& path) {
  FitOptions options;
  absl::Status status = DecodeStart(spec.start(), absl::StrCat(path, ".start"), options);
  if (!status.ok()) return status;
  status = DecodeStopping(spec.stopping(), absl::StrCat(path, ".stopping"), options);
  if (!status.ok()) return status;
  if (spec.has_seed()) options.seed = spec.seed();
  if (options.start == StartMethod::kGiven) options.restarts = 1;
  if (spec.has_restarts()) options.restarts = spec.restarts();
  if (options.start == StartMethod::kGiven && options.restarts != 1) {
    return absl::InvalidArgumentError(absl::StrCat(path, ".restarts: got ", options.restarts,
                                                   ", must be 1 or absent with a given start"));
  }
  return options;
}

void CompleteFitSpec(const ModelOptions& model, const FitOptions& options, v1::FitSpec& spec) {
  EncodeModelSpec(model, *spec.mutable_model());
  spec.set_seed(options.seed);
  spec.set_restarts(options.restarts);
  for (const auto& [wire, core] : kStartMethods) {
    if (core == options.start) spec.mutable_start()->set_method(wire);
  }
  v1::Stopping& stopping = *spec.mutable_stopping();
  stopping.set_max_iterations(options.max_iterations);
  stopping.set_relative_tolerance(options.relative_tolerance);
  stopping.set_absolute_tolerance(options.absolute_tolerance);
}

}  // namespace emserve::server
