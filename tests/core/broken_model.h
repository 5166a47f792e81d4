// A model with a mistake in it, to show that a law can fail.
#ifndef EMSERVE_TESTS_CORE_BROKEN_MODEL_H_
#define EMSERVE_TESTS_CORE_BROKEN_MODEL_H_

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/em/model.h"

namespace emserve::testing {

// Forwards to a sound model, but for the steps that a test replaces.
class Broken : public Model {
 public:
  explicit Broken(const Model& sound) : sound_(sound) {}

  std::function<double(const Prepared&, const Block&, Workspace&, std::span<double>)> e_step;
  // In place of e_step, for steps that look at the assignment.
  std::function<double(const Prepared&, const Block&, const Assignment&, Workspace&,
                       std::span<double>)>
      assigned_e_step;
  std::function<void(std::span<const double> theta, std::span<double> next)> after_m_step;
  std::function<void(std::span<double> theta)> after_from_unconstrained;

  const Layout& parameters() const override { return sound_.parameters(); }
  const Layout& statistics() const override { return sound_.statistics(); }
  int num_columns() const override { return sound_.num_columns(); }
  int num_components() const override { return sound_.num_components(); }
  const Chain* chain() const override { return sound_.chain(); }
  int64_t doubles_per_row() const override { return sound_.doubles_per_row(); }
  int64_t degrees_of_freedom(std::span<const double> theta) const override {
    return sound_.degrees_of_freedom(theta);
  }
  absl::Status CheckRows(const Block& block, const std::vector<std::string>& names) const override {
    return sound_.CheckRows(block, names);
  }
  void Recenter(std::span<const double> theta, std::span<const double> centre,
                std::span<double> stats) const override {
    sound_.Recenter(theta, centre, stats);
  }
  void ExpectedStatistics(std::span<const double> theta, double num_observations,
                          double num_sequences, std::span<double> stats) const override {
    sound_.ExpectedStatistics(theta, num_observations, num_sequences, stats);
  }
  double ExpectedLogDensity(std::span<const double> centre, std::span<const double> stats,
                            std::span<const double> theta) const override {
    return sound_.ExpectedLogDensity(centre, stats, theta);
  }
  void ToUnconstrained(std::span<const double> theta,
                       std::span<double> coordinates) const override {
    sound_.ToUnconstrained(theta, coordinates);
  }
  void FromUnconstrained(std::span<const double> coordinates, std::span<const double> reference,
                         std::span<double> theta) const override {
    sound_.FromUnconstrained(coordinates, reference, theta);
    if (after_from_unconstrained) after_from_unconstrained(theta);
  }
  std::optional<double> WeightOf(std::span<const double> theta, int component) const override {
    return sound_.WeightOf(theta, component);
  }
  void Reweigh(int component, double weight, std::span<double> theta) const override {
    sound_.Reweigh(component, weight, theta);
  }
  std::unique_ptr<Prepared> NewPrepared() const override { return sound_.NewPrepared(); }
  std::unique_ptr<Workspace> NewWorkspace(int max_rows) const override {
    return sound_.NewWorkspace(max_rows);
  }
  absl::Status Validate(std::span<const double> theta) const override {
    return sound_.Validate(theta);
  }
  absl::Status Prepare(std::span<const double> theta, Prepared& prepared) const override {
    return sound_.Prepare(theta, prepared);
  }
  double EStep(const Prepared& prepared, const Block& block, const Assignment& assignment,
               Workspace& workspace, std::span<double> stats) const override {
    if (assigned_e_step) return assigned_e_step(prepared, block, assignment, workspace, stats);
    return e_step ? e_step(prepared, block, workspace, stats)
                  : sound_.EStep(prepared, block, assignment, workspace, stats);
  }
  void GivenStep(const Prepared& prepared, const Block& block, std::span<const double> posterior,
                 Workspace& workspace, std::span<double> stats) const override {
    sound_.GivenStep(prepared, block, posterior, workspace, stats);
  }
  absl::Status MStep(std::span<const double> theta, std::span<const double> stats,
                     std::span<double> next, const MaximizeContext& context) const override {
    const absl::Status status = sound_.MStep(theta, stats, next, context);
    if (after_m_step) after_m_step(theta, next);
    return status;
  }
  double LogPrior(std::span<const double> theta) const override { return sound_.LogPrior(theta); }
  void Reference(const Summary& summary, std::span<double> theta) const override {
    sound_.Reference(summary, theta);
  }
  void Infer(const Prepared& prepared, const Block& block, Workspace& workspace,
             RowOutputs outputs) const override {
    sound_.Infer(prepared, block, workspace, outputs);
  }
  int Sample(const Prepared& prepared, Random& random, std::span<double> row) const override {
    return sound_.Sample(prepared, random, row);
  }

 private:
  const Model& sound_;
};

}  // namespace emserve::testing

#endif  // EMSERVE_TESTS_CORE_BROKEN_MODEL_H_
