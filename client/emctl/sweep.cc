#include "client/emctl/sweep.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/csv.h"
#include "client/emctl/exit_status.h"
#include "client/emctl/set_field.h"
#include "client/emctl/summary.h"
#include "client/emctl/text.h"
#include "client/emctl/words.h"
#include "proto/wire/model_spec.h"

namespace emserve::emctl {
namespace {

// "1-9" or "4".
bool AddRange(const std::string& word, v1::SweepSpec& spec) {
  constexpr int32_t kMost = 1000;  // candidates that a sweep may have
  const size_t dash = word.find('-', 1);
  int32_t first = 0;
  int32_t last = 0;
  if (!absl::SimpleAtoi(word.substr(0, dash), &first)) return false;
  last = first;
  if (dash != std::string::npos && !absl::SimpleAtoi(word.substr(dash + 1), &last)) return false;
  if (!(first >= 1 && last >= first && last - first < kMost)) return false;
  for (int32_t k = first; k <= last; ++k) {
    spec.add_num_components(k);
    if (k == std::numeric_limits<int32_t>::max()) break;
  }
  return true;
}

absl::Status AddCovariances(const std::string& text, v1::SweepSpec& spec) {
  if (absl::EqualsIgnoreCase(text, "all")) {
    for (const std::string& word : CovarianceWords()) spec.add_covariances(*ParseCovariance(word));
    return absl::OkStatus();
  }
  const absl::StatusOr<std::vector<std::string>> words = client::SplitCsvRecord(text);
  if (!words.ok()) return Refused("--covariances", text, "names with commas");
  for (const std::string& word : *words) {
    const std::optional<v1::Covariance> covariance = ParseCovariance(word);
    if (!covariance.has_value()) {
      return Refused("--covariances", word,
                     absl::StrCat("all, ", absl::StrJoin(CovarianceWords(), ", ")));
    }
    spec.add_covariances(*covariance);
  }
  return absl::OkStatus();
}

bool IsOfStates(const v1::SweepRow& row) { return absl::EndsWith(row.family(), "_hmm"); }

// What tells the row's model from the others'.
std::string StructureOf(const v1::SweepRow& row) {
  return row.covariance() == v1::COVARIANCE_UNSPECIFIED ? "" : CovarianceWord(row.covariance());
}

}  // namespace

absl::StatusOr<v1::SweepSpec> SweepSpecOf(const SweepOptions& options, v1::FitSpec base) {
  v1::SweepSpec spec;
  *spec.mutable_base() = std::move(base);
  spec.set_criterion(options.criterion);
  if (options.components.has_value()) {
    const absl::StatusOr<std::vector<std::string>> words =
        client::SplitCsvRecord(*options.components);
    bool good = words.ok() && !words->empty();
    for (size_t i = 0; good && i < words->size(); ++i) good = AddRange((*words)[i], spec);
    if (!good) {
      return Refused(options.base.family->sequential() ? "--states" : "--components",
                     *options.components,
                     "numbers and ranges such as 1-9 or 2,3,5-7, from 1, at most 1000");
    }
  }
  if (options.covariances.has_value()) {
    if (absl::Status status = AddCovariances(*options.covariances, spec); !status.ok()) {
      return status;
    }
  }
  if (options.emissions.has_value()) {
    const absl::StatusOr<std::vector<std::string>> words =
        client::SplitCsvRecord(*options.emissions);
    if (!words.ok()) return Refused("--emissions", *options.emissions, "names with commas");
    const std::string own(options.base.family->emission);
    const bool has_own = std::any_of(words->begin(), words->end(), [&](const std::string& word) {
      const FamilyCommand* const family = FindEmission(word);
      return family != nullptr && family->emission == options.base.family->emission;
    });
    if (!has_own && options.base.has_family_options()) {
      return Refused("--emissions", *options.emissions,
                     absl::StrCat("with ", own, " among them, whose options are given"));
    }
    for (const std::string& word : *words) {
      const FamilyCommand* const family = FindEmission(word);
      if (family == nullptr || family->emission == "product") {
        return Refused("--emissions", word, "families with commas, such as gaussian,student-t");
      }
      const std::string_view field = family->message.substr(family->message.rfind('.') + 1);
      v1::EmissionSpec& emission = *spec.add_emissions();
      // The command's own family keeps its options.
      if (family->emission == options.base.family->emission) {
        emission = EmissionOf(spec.base().model());
      } else {
        SetField(emission, field, "");
      }
    }
  }
  return spec;
}

absl::Status SweepModels(Session& session, const SweepOptions& options) {
  absl::StatusOr<v1::FitSpec> base = SpecOf(options.base);
  if (!base.ok()) return base.status();
  // Before the data travels.
  if (auto checked = SweepSpecOf(options, *base); !checked.ok()) return checked.status();
  const absl::StatusOr<PreparedData> data = PrepareData(session, options.base, *base);
  if (!data.ok()) return data.status();
  absl::StatusOr<v1::SweepSpec> spec = SweepSpecOf(options, *std::move(base));
  if (!spec.ok()) return spec.status();
  v1::CreateJobRequest request;
  *request.mutable_job()->mutable_sweep() = *std::move(spec);
  if (options.base.timeout.has_value()) {
    *request.mutable_job()->mutable_timeout() = ToProto(*options.base.timeout);
  }
  return SubmitAndFollow(session, request, *data, options.base.detach);
}

std::string CandidateLine(const v1::SweepRow& row) {
  std::string line =
      absl::StrCat("candidate ", row.candidate(), "  ", row.family(), "  ", row.num_components(),
                   IsOfStates(row) ? " state" : " component", row.num_components() == 1 ? "" : "s");
  if (const std::string structure = StructureOf(row); !structure.empty()) {
    absl::StrAppend(&line, "  ", structure);
  }
  if (row.has_error()) return absl::StrCat(line, "  failed: ", row.error().message());
  if (!row.has_bic()) return absl::StrCat(line, "  sum of squares ", Fixed(-row.log_likelihood()));
  return absl::StrCat(line, "  log-likelihood ", Fixed(row.log_likelihood()), "  BIC ",
                      Fixed(row.bic()));
}

std::string SweepTable(const v1::SweepResult& result) {
  const bool any_structure =
      std::any_of(result.rows().begin(), result.rows().end(),
                  [](const v1::SweepRow& row) { return !StructureOf(row).empty(); });
  TextTable table(any_structure ? "rlrlrrrrrl" : "rlrrrrrrl");
  std::vector<std::string> head = {
      "CANDIDATE", "FAMILY",
      result.rows_size() > 0 && IsOfStates(result.rows(0)) ? "STATES" : "COMPONENTS"};
  if (any_structure) head.push_back("COVARIANCE");
  head.insert(head.end(), {"LOG-LIKELIHOOD", "DF", "AIC", "BIC", "ICL", ""});
  table.Add(std::move(head));
  for (const v1::SweepRow& row : result.rows()) {
    std::vector<std::string> cells = {absl::StrCat(row.candidate()), Printable(row.family()),
                                      absl::StrCat(row.num_components())};
    if (any_structure) cells.push_back(StructureOf(row));
    std::string mark;
    if (row.has_error()) {
      cells.insert(cells.end(), 5, "-");
      mark = Printable(absl::StrCat("failed: ", row.error().message()));
    } else {
      cells.insert(cells.end(),
                   {Fixed(row.log_likelihood()), absl::StrCat(row.degrees_of_freedom()),
                    row.has_aic() ? Fixed(row.aic()) : "-", row.has_bic() ? Fixed(row.bic()) : "-",
                    row.has_icl() ? Fixed(row.icl()) : "-"});
      std::vector<std::string> marks;
      if (row.candidate() == result.best()) marks.emplace_back("best");
      if (row.degenerate()) marks.emplace_back("degenerate");
      if (row.termination() != v1::TERMINATION_CONVERGED &&
          row.termination() != v1::TERMINATION_DEGENERATE) {
        marks.push_back(EnumWord(*v1::Termination_descriptor(), row.termination()));
      }
      mark = absl::StrJoin(marks, ", ");
    }
    cells.push_back(std::move(mark));
    table.Add(std::move(cells));
  }
  const std::string criterion =
      absl::AsciiStrToUpper(EnumWord(*v1::SweepCriterion_descriptor(), result.criterion()));
  return absl::StrCat(
      table.ToString(),
      "\nAIC, BIC and ICL are on the scale -2 log L: smaller is better (R mclust's BIC and ICL are "
      "the negatives).\nBest by ",
      criterion.empty() ? "BIC" : Printable(criterion), ": candidate ", result.best(), ", ",
      Printable(result.model_version()), "\n");
}

Json SweepDocument(const v1::Job& job, const v1::ModelVersion& version,
                   const std::vector<v1::WarningEvent>& warnings,
                   const std::vector<std::string>& label_names) {
  const v1::SweepResult& result = job.sweep_result();
  Json rows = Json::array();
  for (const v1::SweepRow& row : result.rows()) rows.push_back(ToJson(row));
  const std::string criterion = EnumWord(*v1::SweepCriterion_descriptor(), result.criterion());
  return {{"job", job.name()},
          {"model", result.model_version()},
          {"criterion", criterion.empty() ? "bic" : criterion},
          {"best", result.best()},
          {"rows", std::move(rows)},
          {"fit", FitDocument(version, warnings, label_names)}};
}

}  // namespace emserve::emctl
