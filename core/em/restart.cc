#include "core/em/restart.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"

namespace emserve {
namespace {

// The objective of EM never decreases, up to rounding: of the parameters (relative), of the sum
// over the observations (per unit of weight, in nats), and of what repairs hold away from its
// maximum. A maximisation that lowers it by more is a mistake.
constexpr double kDecreaseRelative = 1e-9;
constexpr double kDecreasePerObservation = 1e-12;

// Of the objective: one that lowers it by less, and so by what its own sum loses, stays.
constexpr double kNoiseRelative = 1e-12;

// An extrapolation may lower the objective by this much of it: less is rounding near the maximum.
constexpr double kProposalRelative = 1e-14;

// Of respawns, beyond those of starts, short runs and the journeys.
constexpr int kRespawnStream = 1 << 24;

// Steps between an accelerator's proposals are as short as EM's, so one small change says little.
constexpr int kSmallChanges = 3;

// "0.125" for people: enough digits to tell the two numbers of a message apart.
std::string Number(double value) { return absl::StrCat(absl::SixDigits(value)); }

}  // namespace

Restart::Buffers::Buffers(const Problem& problem)
    : expectation(problem.model, problem.table, *problem.run.share, problem.run.stop),
      theta(problem.model.parameters().size()),
      before(theta.size()),
      image(theta.size()),
      from_coordinates(theta.size()),
      image_coordinates(theta.size()),
      proposal(theta.size()) {}

Restart::Restart(const Problem& problem, int number, Buffers& buffers)
    : problem_(problem),
      options_(problem.options),
      buffers_(buffers),
      accelerator_(MakeAccelerator(problem.options.acceleration, problem.options.anderson_depth)) {
  outcome_.restart = number;
  if (options_.algorithm == Algorithm::kClassificationEm) {
    assignment_.kind = Assignment::Kind::kHard;
  }
}

bool Restart::HasFlooredVariance() const {
  return std::any_of(repairs_.begin(), repairs_.end(),
                     [](const Repair& repair) { return repair.reason == kVarianceFloored; });
}

void Restart::Run() {
  outcome_.status = Climb();
  if (!outcome_.status.ok() && !absl::IsCancelled(outcome_.status)) {
    Warn("RESTART_FAILED", std::string(outcome_.status.message()));
  }
}

absl::Status Restart::Climb() {
  if (absl::Status status = Initialise(); !status.ok()) return status;
  for (;;) {
    if (absl::Status status = Expect(); !status.ok()) return status;
    if (Decreased() || Converged() || IterationLimitReached() || TimeIsUp()) break;
    if (absl::Status status = Maximise(); !status.ok()) return status;
  }
  return Conclude();
}

// An extrapolation that lies lower than the point before it may still lie on a better slope: it
// gets one iteration to show that. One that does not, or cannot be evaluated, is taken back.
absl::Status Restart::Expect() {
  absl::StatusOr<double> log_likelihood = buffers_.expectation.Run(buffers_.theta, assignment_);
  ++outcome_.evaluations;
  double log_prior = problem_.model.LogPrior(buffers_.theta);
  beyond_image_ = std::exchange(extrapolated_, false);
  if (beyond_image_) {
    const auto raises = [&, before = outcome_.objective] {
      return log_likelihood.ok() && std::isfinite(log_prior) &&
             *log_likelihood + log_prior >= before - kProposalRelative * std::abs(before);
    };
    const auto evaluate = [&] {
      log_likelihood = buffers_.expectation.Run(buffers_.theta, assignment_);
      ++outcome_.evaluations;
      log_prior = problem_.model.LogPrior(buffers_.theta);
    };
    std::vector<Repair> repairs;
    if (!raises() && log_likelihood.ok() && Steady(repairs)) {
      evaluate();
      if (raises()) {
        accelerator_->Steadied();
        repairs_.swap(repairs);
        NoteDrops();
        WarnOfNewRepairs();
        beyond_image_ = false;
      }
    }
    if (!raises() && !absl::IsCancelled(log_likelihood.status())) {
      TakeBack();
      evaluate();
    }
  }
  if (!log_likelihood.ok()) return log_likelihood.status();
  if (!std::isfinite(log_prior)) {
    return absl::FailedPreconditionError(
        absl::StrCat("log prior: got ", log_prior, " after iteration ", outcome_.iterations,
                     ", must be finite; use a weaker prior, or another start"));
  }
  log_prior_before_ = std::exchange(log_prior_, log_prior);
  objective_before_ = std::exchange(outcome_.objective, *log_likelihood + log_prior_);
  change_before_ = change_;
  change_.reset();
  if (outcome_.iterations > 0 && !remade_) change_ = outcome_.objective - objective_before_;
  TakeBackRounding();
  Report(Phase::kClimb, outcome_.objective, change_);
  return absl::OkStatus();
}

absl::Status Restart::Maximise() {
  repairs_before_.swap(repairs_);
  repairs_.clear();
  remade_ = false;
  absl::Status status = problem_.model.MStep(buffers_.theta, buffers_.expectation.statistics(),
                                             buffers_.before, {repairs_, problem_.run.stop});
  if (!status.ok()) return status;
  buffers_.theta.swap(buffers_.before);
  ++outcome_.iterations;
  // Without the component LogPrior is another function.
  remade_ = std::any_of(repairs_.begin(), repairs_.end(),
                        [](const Repair& repair) { return repair.reason == kComponentDropped; });
  if (absl::Status treated = TreatCollapse(); !treated.ok()) return treated;
  if (remade_ && accelerator_ != nullptr) accelerator_->Refused();
  NoteDrops();
  WarnOfNewRepairs();
  if (!remade_ && (accelerator_ != nullptr || options_.parameter_tolerance > 0)) Extrapolate();
  return absl::OkStatus();
}

// From `before` over `theta`, in unconstrained coordinates. Those that are not finite, of weights
// at 0, stay where the maximisation put them.
void Restart::Extrapolate() {
  std::vector<double>& from = buffers_.from_coordinates;
  std::vector<double>& image = buffers_.image_coordinates;
  problem_.model.ToUnconstrained(buffers_.before, from);
  problem_.model.ToUnconstrained(buffers_.theta, image);
  movement_ = 0;
  for (size_t i = 0; i < from.size(); ++i) {
    if (!std::isfinite(from[i]) || !std::isfinite(image[i])) {
      from[i] = image[i] = 0;
    }
    movement_ = std::max(movement_, std::abs(image[i] - from[i]) / (1 + std::abs(from[i])));
  }
  const bool settling = std::exchange(settling_, false);
  if (accelerator_ == nullptr || !accelerator_->Propose(from, image, buffers_.proposal)) return;
  // The last iteration's parameters are a maximisation's own, as its repairs are.
  if (settling || outcome_.iterations >= options_.max_iterations) return;
  problem_.model.ToUnconstrained(buffers_.theta, image);
  for (size_t i = 0; i < image.size(); ++i) {
    if (!std::isfinite(image[i])) buffers_.proposal[i] = image[i];
  }
  buffers_.image = buffers_.theta;
  problem_.model.FromUnconstrained(buffers_.proposal, buffers_.image, buffers_.theta);
  extrapolated_ = true;
  if (!problem_.model.Validate(buffers_.theta).ok()) TakeBack();
}

// One maximisation from the extrapolation; whether it succeeded. What the collapse policy would
// have to treat is left to maximisations of the climb itself.
bool Restart::Steady(std::vector<Repair>& repairs) {
  absl::Status status = problem_.model.MStep(buffers_.theta, buffers_.expectation.statistics(),
                                             buffers_.proposal, {repairs, problem_.run.stop});
  const bool to_treat = std::any_of(repairs.begin(), repairs.end(), [&](const Repair& repair) {
    return repair.reason == kComponentDropped ||
           (options_.collapse != CollapsePolicy::kRidge && IsCollapse(repair, buffers_.theta));
  });
  if (!status.ok() || to_treat) return false;
  buffers_.theta.swap(buffers_.proposal);
  return true;
}

void Restart::TakeBack() {
  buffers_.theta = buffers_.image;
  extrapolated_ = beyond_image_ = false;
  accelerator_->Refused();
}

absl::Status Restart::Conclude() {
  log_likelihood_ = outcome_.objective - log_prior_;
  if (assignment_.kind == Assignment::Kind::kPosterior) return absl::OkStatus();
  const absl::StatusOr<double> log_likelihood = buffers_.expectation.Run(buffers_.theta);
  if (!log_likelihood.ok()) return log_likelihood.status();
  log_likelihood_ = *log_likelihood;
  return absl::OkStatus();
}

// One that had no weight before the maximisation has nothing to lose.
bool Restart::IsCollapse(const Repair& repair, std::span<const double> before) const {
  return (repair.reason == kVarianceFloored || repair.reason == kComponentEmpty) &&
         (repair.component < 0 || problem_.model.WeightOf(before, repair.component) != 0.0);
}

// Only a component's own collapse can be helped; a shared variance at its floor is of all.
absl::Status Restart::TreatCollapse() {
  if (options_.collapse == CollapsePolicy::kRidge) return absl::OkStatus();
  const std::vector<Repair> repairs = repairs_;
  for (const Repair& repair : repairs) {
    const int k = repair.component;
    if (!IsCollapse(repair, buffers_.before)) continue;
    if (options_.collapse == CollapsePolicy::kFail) {
      return absl::FailedPreconditionError(absl::StrCat(
          "iteration ", outcome_.iterations, ": ",
          k < 0 ? std::string("the components") : absl::StrCat("component ", k), " collapsed (",
          repair.reason, ", amount ", Number(repair.amount),
          ") and the collapse policy is to fail; use fewer components, a simpler covariance, a "
          "prior or another policy"));
    }
    if (k < 0) continue;
    const bool respawns = options_.collapse == CollapsePolicy::kRespawn;
    if (respawns) {
      if (respawns_ >= options_.max_respawns || problem_.starts == nullptr ||
          !problem_.model.can_respawn(k)) {
        continue;
      }
      if (absl::Status status = Respawn(k); !status.ok()) return status;
    } else if (!Drop(k)) {
      continue;
    }
    std::erase_if(repairs_, [&](const Repair& other) {
      return other.component == k &&
             (IsCollapse(other, buffers_.before) || other.reason == kComponentDropped);
    });
    repairs_.push_back({.reason = respawns ? kComponentRespawned : kComponentDropped,
                        .component = k,
                        .amount = problem_.model.WeightOf(buffers_.before, k).value_or(0)});
    remade_ = true;
  }
  return absl::OkStatus();
}

// The component of a fresh start takes its place, with an average weight.
absl::Status Restart::Respawn(int component) {
  ++respawns_;
  const std::vector<double> theta = buffers_.theta;
  std::vector<Repair> repairs;
  absl::Status status = problem_.starts->Draw(
      StreamOf(outcome_.restart, kRespawnStream + respawns_),
      [this] { return problem_.TimeBudgetSpent(); }, buffers_.expectation, buffers_.theta, repairs);
  if (!status.ok()) return status;
  ++outcome_.evaluations;
  const std::vector<double> fresh = std::exchange(buffers_.theta, theta);
  const Layout& layout = problem_.model.parameters();
  for (const ArraySpec& array : layout.arrays()) {
    // Noise has no part in the arrays of the others.
    if (!array.by_component || component >= array.shape[0]) continue;
    if (&array == layout.Find("weights")) continue;
    const int64_t size = array.size / array.shape[0];
    const int64_t begin = array.offset + component * size;
    std::copy_n(fresh.begin() + begin, size, buffers_.theta.begin() + begin);
  }
  problem_.model.Reweigh(component, 1.0 / problem_.model.num_components(), buffers_.theta);
  return absl::OkStatus();
}

// Whether the component has lost its weight: not the last one, and not one whose weight is fixed or
// tied to another's.
bool Restart::Drop(int component) {
  std::vector<double> dropped = buffers_.theta;
  problem_.model.Reweigh(component, 0, dropped);
  const Model& model = problem_.model;
  if (model.WeightOf(dropped, component) != 0.0 || !model.Validate(dropped).ok()) return false;
  buffers_.theta = std::move(dropped);
  return true;
}

// A component without weight is still maximised, and reported as empty: that it was dropped says
// more.
void Restart::NoteDrops() {
  for (const Repair& repair : repairs_) {
    if (repair.reason == kComponentDropped) drops_.push_back(repair);
  }
  for (const Repair& drop : drops_) {
    std::erase_if(repairs_, [&](const Repair& other) { return other.component == drop.component; });
    repairs_.push_back(drop);
  }
}

// The first maximisation may have to go down: a given start can lie outside the constraints, e.g.
// below the floor of the variances, or outside the covariance structure.
bool Restart::MayGoDown() const {
  return !change_ || (problem_.starts == nullptr && outcome_.iterations == 1);
}

double Restart::Allowance() const {
  return kDecreaseRelative * (problem_.summary.mean_weight() + std::abs(outcome_.objective)) +
         kDecreasePerObservation * problem_.summary.total_weight + RoundingOfRepairs();
}

void Restart::ReturnBefore() {
  buffers_.theta.swap(buffers_.before);
  repairs_.swap(repairs_before_);
  outcome_.objective = objective_before_;
  log_prior_ = log_prior_before_;
}

// A variance at its floor costs many digits, so that the objective falls where less than those is
// left to gain. Then it stays as it was, and the climb ends.
void Restart::TakeBackRounding() {
  const double noise =
      RoundingOfRepairs() > 0
          ? 0
          : kNoiseRelative * (problem_.summary.mean_weight() + std::abs(outcome_.objective));
  if (MayGoDown() || !(*change_ < -noise) || *change_ < -Allowance()) return;
  fall_ = Fall{.nats = -*change_, .allowance = Allowance()};
  change_ = 0;
  const bool floored = HasFlooredVariance();
  ReturnBefore();
  // That a variance is held there says more than that none was before.
  if (floored) repairs_.swap(repairs_before_);
}

bool Restart::Decreased() {
  if (MayGoDown()) return false;
  const double allowance = Allowance();
  if (!(*change_ < -allowance)) return false;
  outcome_.termination = Termination::kObjectiveDecreased;
  outcome_.message = absl::StrCat("iteration ", outcome_.iterations, " lowered the objective by ",
                                  Number(-*change_), " nats, more than rounding explains (",
                                  Number(allowance), "); the parameters before it are returned");
  Warn("OBJECTIVE_DECREASED", outcome_.message);
  ReturnBefore();
  return true;
}

// Why nothing is left to gain, if so.
std::optional<std::string> Restart::WhyConverged() const {
  if (fall_) {
    return absl::StrCat("the objective fell by ", Number(fall_->nats),
                        " nats, no more than rounding explains (", Number(fall_->allowance),
                        "); the parameters before that are returned");
  }
  const double change = std::abs(*change_);
  const double mean_weight = problem_.summary.mean_weight();
  const double relative =
      options_.relative_tolerance * (mean_weight + std::abs(outcome_.objective));
  if (options_.relative_tolerance > 0 && change <= relative) {
    return absl::StrCat("the objective changed by ", Number(change),
                        " nats, at most relative_tolerance x (", Number(mean_weight),
                        " + |objective|) = ", Number(relative));
  }
  if (options_.absolute_tolerance > 0 && change <= options_.absolute_tolerance) {
    return absl::StrCat(
        "the objective changed by ", Number(change),
        " nats, at most absolute_tolerance = ", Number(options_.absolute_tolerance));
  }
  if (options_.parameter_tolerance > 0 && movement_ <= options_.parameter_tolerance) {
    return absl::StrCat("no coordinate moved by more than ", Number(movement_),
                        ", at most parameter_tolerance = ", Number(options_.parameter_tolerance));
  }
  if (options_.aitken_tolerance > 0 && change_before_ && *change_before_ > 0) {
    const double rate = *change_ / *change_before_;
    const double left = *change_ * rate / (1 - rate);
    if (rate >= 0 && rate < 1 && left <= options_.aitken_tolerance) {
      return absl::StrCat(
          "Aitken's estimate leaves ", Number(left),
          " nats to gain, at most aitken_tolerance = ", Number(options_.aitken_tolerance));
    }
  }
  return std::nullopt;
}

bool Restart::Converged() {
  if (!change_) return false;
  std::optional<std::string> why = WhyConverged();
  if (!why) {
    small_changes_ = 0;
    return false;
  }
  if (!fall_) {
    if (accelerator_ != nullptr && ++small_changes_ < kSmallChanges) return false;
    // An extrapolation may lie beyond what a maximisation would have to repair.
    settling_ = beyond_image_;
    if (settling_) return false;
  }
  outcome_.message = *std::move(why);
  outcome_.termination = Termination::kConverged;
  if (HasFlooredVariance()) {
    outcome_.termination = Termination::kDegenerate;
    absl::StrAppend(&outcome_.message,
                    ", but a variance is held at its floor: the likelihood has "
                    "no maximum there");
  }
  return true;
}

bool Restart::IterationLimitReached() {
  if (outcome_.iterations < options_.max_iterations) return false;
  outcome_.termination = Termination::kIterationLimit;
  outcome_.message = absl::StrCat("made ", outcome_.iterations,
                                  " iterations, max_iterations = ", options_.max_iterations);
  return true;
}

bool Restart::TimeIsUp() {
  if (!problem_.TimeBudgetSpent()) return false;
  outcome_.termination = Termination::kTimeBudget;
  outcome_.message =
      absl::StrCat("ran for ", absl::FormatDuration(problem_.run.clock() - problem_.began),
                   ", time_budget = ", absl::FormatDuration(options_.time_budget));
  return true;
}

double Restart::RoundingOfRepairs() const {
  double sum = 0;
  for (const Repair& repair : repairs_) sum += repair.rounding;
  for (const Repair& repair : repairs_before_) sum += repair.rounding;
  return sum;
}

void Restart::Report(Phase phase, double objective, std::optional<double> change) {
  if (problem_.run.observer == nullptr) return;
  problem_.run.observer->OnIteration({outcome_.restart, reported_++, objective, change, phase});
}

// Once per reason and restart: a repair that comes back in every iteration is one piece of news.
void Restart::WarnOfNewRepairs() {
  for (const Repair& repair : repairs_) {
    if (std::find(warned_.begin(), warned_.end(), repair.reason) != warned_.end()) continue;
    warned_.push_back(repair.reason);
    Warn(repair.reason,
         absl::StrCat("iteration ", outcome_.iterations, ", ",
                      repair.component < 0 ? std::string("all components")
                                           : absl::StrCat("component ", repair.component),
                      ": amount ", Number(repair.amount)));
  }
}

void Restart::Warn(const std::string& reason, const std::string& message) const {
  if (problem_.run.observer != nullptr) {
    problem_.run.observer->OnWarning(outcome_.restart, reason, message);
  }
}

}  // namespace emserve
