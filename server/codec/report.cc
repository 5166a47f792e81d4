#include "server/codec/report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/codec/fields.h"

namespace emserve::server {
namespace {

constexpr int kMaxEntries = FitReport::kMaxReported;
constexpr int kMaxRepairs = 100000;
constexpr size_t kMaxTextBytes = 1024;

constexpr std::array kTerminations = {
    std::pair(v1::TERMINATION_CONVERGED, Termination::kConverged),
    std::pair(v1::TERMINATION_ITERATION_LIMIT, Termination::kIterationLimit),
    std::pair(v1::TERMINATION_TIME_BUDGET, Termination::kTimeBudget),
    std::pair(v1::TERMINATION_OBJECTIVE_DECREASED, Termination::kObjectiveDecreased),
    std::pair(v1::TERMINATION_DEGENERATE, Termination::kDegenerate),
};

absl::StatusOr<Termination> Decode(v1::Termination termination, const std::string& path) {
  for (const auto& [wire, core] : kTerminations) {
    if (wire == termination) return core;
  }
  return UnknownEnum(path, *v1::Termination_descriptor(), termination);
}

// Collects the first thing that is wrong with a report.
class Checker {
 public:
  explicit Checker(const std::string& path) : path_(path) {}

  void Finite(const char* field, double value) {
    if (!std::isfinite(value)) Refuse(field, absl::StrCat(value), "finite");
  }
  void NotNegative(const char* field, int64_t value) {
    if (value < 0) Refuse(field, absl::StrCat(value), "0 or more");
  }
  void Amount(const char* field, double value) {
    if (!(value >= 0) || !std::isfinite(value)) {
      Refuse(field, absl::StrCat(value), "finite and 0 or more");
    }
  }
  void AtMost(const char* field, int value, int most) {
    if (value > most)
      Refuse(field, absl::StrCat(value, " entries"), absl::StrCat("at most ", most));
  }
  void Short(const char* field, const std::string& text) {
    if (text.size() <= kMaxTextBytes) return;
    Refuse(field, absl::StrCat(text.size(), " bytes"), absl::StrCat("at most ", kMaxTextBytes));
  }
  const absl::Status& status() const { return status_; }

 private:
  void Refuse(const char* field, const std::string& value, const std::string& constraint) {
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError(
        absl::StrCat(path_, ".", field, ": got ", value, ", must be ", constraint));
  }
  const std::string& path_;
  absl::Status status_;
};

absl::Status CheckReport(const v1::FitReport& report, const std::string& path) {
  Checker check(path);
  check.Finite("objective", report.objective());
  check.Finite("log_likelihood", report.log_likelihood());
  check.Finite("log_prior", report.log_prior());
  check.NotNegative("iterations", report.iterations());
  check.NotNegative("total_iterations", report.total_iterations());
  check.NotNegative("restart", report.restart());
  check.NotNegative("criteria.degrees_of_freedom", report.criteria().degrees_of_freedom());
  check.Finite("criteria.num_observations", report.criteria().num_observations());
  check.Amount("criteria.num_sequences", report.criteria().num_sequences());
  check.Finite("criteria.aic", report.criteria().aic());
  check.Finite("criteria.bic", report.criteria().bic());
  check.Finite("criteria.icl", report.criteria().icl());
  check.Finite("criteria.entropy", report.criteria().entropy());
  check.Finite("criteria.relative_entropy", report.criteria().relative_entropy());
  for (const double value : report.criteria().separation()) {
    check.Finite("criteria.separation", value);
  }
  check.NotNegative("evaluations", report.evaluations());
  check.NotNegative("total_evaluations", report.total_evaluations());
  check.Amount("past_observations", report.past_observations());
  check.Amount("past_sequences", report.past_sequences());
  check.AtMost("restarts", report.restarts_size(), kMaxEntries);
  check.AtMost("optima", report.optima_size(), kMaxEntries);
  check.AtMost("repairs", report.repairs_size(), kMaxRepairs);
  check.Short("message", report.message());
  for (const v1::Repair& repair : report.repairs()) {
    check.Short("repairs.reason", repair.reason());
    check.Finite("repairs.amount", repair.amount());
  }
  for (const v1::Optimum& optimum : report.optima()) {
    check.Finite("optima.objective", optimum.objective());
    check.NotNegative("optima.count", optimum.count());
    check.NotNegative("optima.first_restart", optimum.first_restart());
  }
  for (const v1::RestartOutcome& restart : report.restarts()) {
    check.NotNegative("restarts.restart", restart.restart());
    check.Short("restarts.message", restart.message());
    check.Finite("restarts.objective", restart.objective());
    check.NotNegative("restarts.iterations", restart.iterations());
    check.NotNegative("restarts.evaluations", restart.evaluations());
  }
  return check.status();
}

void EncodeCriteria(const Criteria& criteria, v1::Criteria& out) {
  out.set_degrees_of_freedom(criteria.degrees_of_freedom);
  out.set_num_observations(criteria.num_observations);
  out.set_num_sequences(criteria.num_sequences);
  if (criteria.aic.has_value()) out.set_aic(*criteria.aic);
  if (criteria.bic.has_value()) out.set_bic(*criteria.bic);
  if (criteria.icl.has_value()) out.set_icl(*criteria.icl);
  if (criteria.entropy.has_value()) out.set_entropy(*criteria.entropy);
  if (criteria.relative_entropy.has_value()) out.set_relative_entropy(*criteria.relative_entropy);
  out.mutable_separation()->Assign(criteria.separation.begin(), criteria.separation.end());
}

Criteria DecodeCriteria(const v1::Criteria& from) {
  Criteria criteria;
  criteria.degrees_of_freedom = from.degrees_of_freedom();
  criteria.num_observations = from.num_observations();
  criteria.num_sequences = from.num_sequences();
  // Those without presence are 0 where there is no likelihood.
  if (from.has_entropy() || from.aic() != 0) {
    criteria.aic = from.aic();
    criteria.bic = from.bic();
    criteria.icl = from.icl();
  }
  if (from.has_entropy()) criteria.entropy = from.entropy();
  if (from.has_relative_entropy()) criteria.relative_entropy = from.relative_entropy();
  criteria.separation.assign(from.separation().begin(), from.separation().end());
  return criteria;
}

}  // namespace

v1::Termination EncodeTermination(Termination termination) {
  return EncodeEnum(kTerminations, termination);
}

void EncodeReport(const FitReport& report, v1::FitReport& out) {
  out.set_objective(report.objective);
  out.set_log_likelihood(report.log_likelihood);
  out.set_log_prior(report.log_prior);
  out.set_termination(EncodeTermination(report.best.termination));
  out.set_message(report.best.message);
  out.set_iterations(report.best.iterations);
  out.set_total_iterations(report.total_iterations);
  out.set_restart(report.best.restart);
  out.set_evaluations(report.best.evaluations);
  out.set_total_evaluations(report.total_evaluations);
  out.set_past_observations(report.past.num_observations);
  out.set_past_sequences(report.past.num_sequences);
  EncodeCriteria(report.criteria, *out.mutable_criteria());
  for (const Repair& repair : report.repairs) {
    v1::Repair& entry = *out.add_repairs();
    entry.set_reason(repair.reason);
    entry.set_component(repair.component);
    entry.set_amount(repair.amount);
  }
  const size_t num_restarts = std::min<size_t>(report.restarts.size(), kMaxEntries);
  for (size_t i = 0; i < num_restarts; ++i) {
    const RestartOutcome& restart = report.restarts[i];
    v1::RestartOutcome& entry = *out.add_restarts();
    entry.set_restart(restart.restart);
    entry.set_iterations(restart.iterations);
    entry.set_evaluations(restart.evaluations);
    entry.set_failed(!restart.status.ok());
    if (restart.status.ok()) {
      entry.set_termination(EncodeTermination(restart.termination));
      entry.set_message(restart.message);
      entry.set_objective(restart.objective);
    } else {
      entry.set_message(std::string(restart.status.message()));
    }
  }
  const size_t num_optima = std::min<size_t>(report.optima.size(), kMaxEntries);
  for (size_t i = 0; i < num_optima; ++i) {
    v1::Optimum& entry = *out.add_optima();
    entry.set_objective(report.optima[i].objective);
    entry.set_count(report.optima[i].count);
    entry.set_first_restart(report.optima[i].first_restart);
    entry.set_degenerate(report.optima[i].degenerate);
  }
}

absl::Status DecodeReport(const v1::FitReport& report, const std::string& path, FitReport& result) {
  if (absl::Status status = CheckReport(report, path); !status.ok()) return status;
  result.objective = report.objective();
  result.log_likelihood = report.log_likelihood();
  result.log_prior = report.log_prior();
  result.total_iterations = report.total_iterations();
  absl::StatusOr<Termination> termination =
      Decode(report.termination(), absl::StrCat(path, ".termination"));
  if (!termination.ok()) return termination.status();
  result.best.termination = *termination;
  result.best.message = report.message();
  result.best.iterations = report.iterations();
  result.best.evaluations = report.evaluations();
  result.total_evaluations = report.total_evaluations();
  result.past = {report.past_observations(), report.past_sequences()};
  result.best.restart = report.restart();
  result.best.objective = report.objective();
  for (const v1::Repair& repair : report.repairs()) {
    result.repairs.push_back(
        {.reason = repair.reason(), .component = repair.component(), .amount = repair.amount()});
  }
  for (int i = 0; i < report.restarts_size(); ++i) {
    const v1::RestartOutcome& restart = report.restarts(i);
    RestartOutcome& out = result.restarts.emplace_back();
    out.restart = restart.restart();
    out.iterations = restart.iterations();
    out.evaluations = restart.evaluations();
    if (restart.failed()) {
      out.status = absl::FailedPreconditionError(restart.message());
      continue;
    }
    termination =
        Decode(restart.termination(), absl::StrCat(path, ".restarts[", i, "].termination"));
    if (!termination.ok()) return termination.status();
    out.termination = *termination;
    out.message = restart.message();
    out.objective = restart.objective();
  }
  for (const v1::Optimum& optimum : report.optima()) {
    result.optima.push_back(
        {optimum.objective(), optimum.count(), optimum.first_restart(), optimum.degenerate()});
  }
  result.criteria = DecodeCriteria(report.criteria());
  return absl::OkStatus();
}

}  // namespace emserve::server
