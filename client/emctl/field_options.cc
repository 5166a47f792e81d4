#include "client/emctl/field_options.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace emserve::emctl {
namespace {

struct FieldOption {
  std::string_view field;
  std::string_view option;
};

constexpr FieldOption kFieldOptions[] = {
    {"address", "--server (or EMSERVE_SERVER)"},
    {"columns", "--columns"},
    {"dataset.columns", "--columns"},
    {"dataset.description", "--description"},
    {"dataset_id", "--id/--keep"},
    {"job.fit.columns", "--columns"},
    {"job.fit.dataset", "--dataset"},
    {"job.fit.model.mixture.emission.gaussian.covariance", "--covariance"},
    {"job.fit.model.mixture.emission.gaussian.ridge", "--ridge"},
    {"job.fit.model.mixture.num_components", "-k/--components"},
    {"job.fit.model_id", "--model"},
    {"job.fit.restarts", "--restarts"},
    {"job.fit.seed", "--seed"},
    {"job.fit.start.method", "--start"},
    {"job.fit.start.model", "--start-model"},
    {"job.fit.stopping.absolute_tolerance", "--absolute-tolerance"},
    {"job.fit.stopping.max_iterations", "--max-iterations"},
    {"job.fit.stopping.relative_tolerance", "--tolerance"},
    {"job.fit.stopping.time_budget", "--time-budget"},
    {"job.fit.weight_column", "--weights-column"},
    {"job.predict.columns", "--columns"},
    {"job.predict.dataset", "--dataset"},
    {"job.predict.model", "MODEL"},
    {"job.predict.output_dataset_id", "--output-dataset"},
    {"job.predict.outputs", "--outputs"},
    {"job.timeout", "--timeout"},
    {"model", "MODEL"},
    {"model_id", "--model"},
    {"num_rows", "-n/--rows"},
    {"outputs", "--outputs"},
    {"table.columns", "--data"},
};

// An entry, and how a message goes on after it.
struct Match {
  const FieldOption* entry = nullptr;
  std::string_view in_brackets;
  std::string_view rest;  // ": ..."
};

Match FindEntry(std::string_view message) {
  for (const FieldOption& entry : kFieldOptions) {
    if (message.substr(0, entry.field.size()) != entry.field) continue;
    Match match{.entry = &entry, .in_brackets = {}, .rest = message.substr(entry.field.size())};
    if (match.rest.substr(0, 1) == "[") {
      const size_t end = match.rest.find("]: ");
      if (end == std::string_view::npos) continue;
      match.in_brackets = match.rest.substr(1, end - 1);
      match.rest.remove_prefix(end + 1);
    }
    if (match.rest.substr(0, 2) == ": ") return match;
  }
  return {};
}

}  // namespace

std::string InOptions(const std::string& message) {
  std::string out = message;
  if (const Match match = FindEntry(message); match.entry != nullptr) {
    const bool is_index = std::all_of(match.in_brackets.begin(), match.in_brackets.end(),
                                      [](char c) { return absl::ascii_isdigit(c); });
    const bool is_column = match.entry->option == "--columns" && !is_index;
    const std::string subject =
        is_column ? absl::StrCat("column \"", std::string(match.in_brackets), "\"")
                  : std::string(match.entry->option);
    out = absl::StrCat(subject, std::string(match.rest));
    if (is_column && absl::StrContains(out, " in row ")) {
      absl::StrAppend(&out, "; rows count from 0");
    }
  }
  return absl::StrReplaceAll(
      out, {{"or use force", "or use --force"},
            {"connect without TLS", "leave out --tls"},
            {"name the authority that signed it", "name its authority with --tls-ca"},
            {"say which it bears", "say which with --tls-server-name"}});
}

std::string FieldOf(const std::string& message) {
  const Match match = FindEntry(message);
  return match.entry == nullptr ? "" : message.substr(0, message.size() - match.rest.size());
}

}  // namespace emserve::emctl
