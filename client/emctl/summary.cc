#include "client/emctl/summary.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/emctl/parameter_tables.h"
#include "client/emctl/spec_options.h"
#include "client/emctl/text.h"
#include "client/emctl/words.h"
#include "proto/wire/model_spec.h"

namespace emserve::emctl {
namespace {

constexpr int kMostOptima = 10;
constexpr size_t kMostWarnings = 10;

// An enum's value for people: "iteration limit".
std::string Words(const google::protobuf::EnumDescriptor& descriptor, int value) {
  return absl::StrReplaceAll(EnumWord(descriptor, value), {{"_", " "}});
}

// What a person wonders about an optimum. Degenerate ones, with a variance held at its floor, come
// last however high their objective is.
std::string OptimumMark(const v1::FitReport& report, int i) {
  if (!report.optima(i).degenerate()) return "";
  return i == 0 ? "(degenerate)" : "(degenerate, not chosen)";
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

// The columns in which cells were missing.
std::string Missing(const v1::ModelVersion& version) {
  std::vector<std::string> columns;
  for (const v1::Column& column : version.columns()) {
    const v1::ColumnSummary& summary = column.summary();
    if (!summary.has_observed() || !(summary.observed() < 1)) continue;
    columns.push_back(absl::StrCat(Short(100 * (1 - summary.observed())), "% of ", column.name()));
  }
  constexpr size_t kMostShown = 12;
  if (columns.size() > kMostShown) {
    columns.resize(kMostShown);
    columns.push_back("...");
  }
  return Printable(absl::StrJoin(columns, ", "));
}

// Which component each name of the labels is: "0 deep, 1 rem".
std::string Labels(const std::vector<std::string>& names) {
  std::vector<std::string> labels;
  for (size_t k = 0; k < names.size(); ++k) labels.push_back(absl::StrCat(k, " ", names[k]));
  return Printable(absl::StrJoin(labels, ", "));
}

// How the rows were cut into sequences, if anything was said of it.
std::string Sequences(const v1::SequenceSpec& sequences) {
  if (!sequences.column().empty()) return absl::StrCat(", sequences by ", sequences.column());
  const int number = sequences.lengths().lengths_size();
  return number < 2 ? "" : absl::StrCat(", ", number, " sequences");
}

// What is said of the chain of states beyond the usual.
std::string Chain(const v1::HiddenMarkovSpec& spec) {
  std::string text;
  if (spec.allowed_transitions_size() > 0) {
    text = ", chosen transitions";
  } else if (spec.transitions() > v1::TRANSITION_PATTERN_FULL) {
    text = absl::StrCat(", ", Words(*v1::TransitionPattern_descriptor(), spec.transitions()),
                        " transitions");
  }
  if (spec.initial() == v1::INITIAL_DISTRIBUTION_STATIONARY) {
    absl::StrAppend(&text, ", stationary beginnings");
  }
  if (spec.durations() > v1::DURATION_KIND_GEOMETRIC) {
    absl::StrAppend(&text, ", ", Words(*v1::DurationKind_descriptor(), spec.durations()),
                    " durations of at most ", spec.max_duration());
  }
  return text;
}

// Likelihood and criteria, or what k-means has instead.
void AddCriteria(const v1::ModelVersion& version, TextTable& figures) {
  const v1::FitReport& report = version.report();
  if (version.spec().model().has_kmeans()) {
    figures.Add({"sum of squares", Fixed(-report.objective())});
    return;
  }
  figures.Add({"log-likelihood", Fixed(report.log_likelihood())});
  if (report.log_prior() != 0) {
    figures.Add({"log-prior", Fixed(report.log_prior())});
    figures.Add({"objective", Fixed(report.objective())});
  }
  const v1::Criteria& criteria = report.criteria();
  figures.Add({"AIC", Fixed(criteria.aic())});
  figures.Add({"BIC", Fixed(criteria.bic())});
  figures.Add({"ICL", Fixed(criteria.icl())});
  figures.Add({"free parameters", absl::StrCat(criteria.degrees_of_freedom())});
  if (criteria.separation_size() > 1) {
    figures.Add({"entropy",
                 absl::StrCat(Short(criteria.entropy()), " nats, relative ",
                              Short(criteria.relative_entropy()), " (1: ",
                              version.spec().model().has_hidden_markov() ? "states" : "components",
                              " fully apart)")});
  }
}

}  // namespace

std::string WarningLine(const v1::WarningEvent& warning) {
  std::string line = absl::StrCat("warning ", warning.reason());
  if (warning.has_candidate()) absl::StrAppend(&line, ", candidate ", warning.candidate());
  if (warning.restart() >= 0) absl::StrAppend(&line, ", restart ", warning.restart());
  return Printable(absl::StrCat(line, ": ", warning.message()));
}

std::string DescribeSpec(const v1::ModelSpec& spec) {
  if (spec.has_kmeans()) return spec.kmeans().spherical() ? "spherical k-means" : "k-means";
  if (!spec.has_mixture() && !spec.has_hidden_markov()) return "model";
  const v1::EmissionSpec& emission = EmissionOf(spec);
  const FamilyCommand* const family = FindFamily(spec);
  std::string text = spec.has_mixture() ? "mixture" : "hidden Markov model";
  if (family != nullptr) text = std::string(family->title);
  if (emission.has_gaussian()) {
    absl::StrAppend(&text, ", ", CovarianceWord(emission.gaussian().covariance()), " covariance");
  } else if (emission.has_student_t()) {
    absl::StrAppend(&text, ", ", CovarianceWord(emission.student_t().covariance()), " scales");
  }
  for (const v1::ProductPart& part : emission.product().parts()) {
    absl::StrAppend(&text, ", ", Printable(part.name()), " of ",
                    Printable(absl::StrJoin(part.columns(), ", ")));
  }
  if (spec.mixture().noise()) absl::StrAppend(&text, ", with noise");
  return absl::StrCat(text, Chain(spec.hidden_markov()));
}

std::string Summary(const v1::ModelVersion& version, const std::vector<v1::WarningEvent>& warnings,
                    const std::vector<std::string>& label_names) {
  const v1::FitReport& report = version.report();
  std::vector<std::string> columns;
  for (const v1::Column& column : version.columns()) columns.push_back(column.name());
  TextTable figures("ll");
  figures.Add({"model", Printable(version.name())});
  figures.Add({"family", DescribeSpec(version.spec().model())});
  if (version.num_rows() > 0) {
    figures.Add(
        {"data", absl::StrCat(version.num_rows(), " rows of ",
                              Printable(absl::StrCat(absl::StrJoin(columns, ", "),
                                                     Sequences(version.spec().sequences()))))});
  }
  if (const std::string missing = Missing(version); !missing.empty()) {
    figures.Add({"missing", missing});
  }
  if (!label_names.empty()) figures.Add({"labels", Labels(label_names)});
  figures.Add({"termination",
               absl::StrCat(Words(*v1::Termination_descriptor(), report.termination()), " after ",
                            report.iterations(), " iterations of restart ", report.restart())});
  figures.Add({"", Printable(report.message())});
  if (report.evaluations() > 0) {
    figures.Add({"evaluations", absl::StrCat(report.evaluations(), ", of all restarts ",
                                             report.total_evaluations())});
  }
  if (report.past_observations() > 0) {
    figures.Add({"update of", absl::StrCat(Short(report.past_observations()), " observations")});
  }
  AddCriteria(version, figures);
  return absl::StrCat(figures.ToString(), ParameterTables(version), Optima(report),
                      Remarks(report, warnings));
}

}  // namespace emserve::emctl
