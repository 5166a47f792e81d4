#include "client/emctl/field_options.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/emctl/spec_options.h"

namespace emserve::emctl {
namespace {

struct FieldOption {
  std::string field;
  std::string option;
  bool subfields = false;
};

struct KnownField {
  std::string_view field;
  std::string_view option;
  bool subfields = false;
};

// What the list of options (spec_options.h) does not say. `subfields`: whatever stands below the
// field belongs to the option too.
constexpr KnownField kFieldOptions[] = {
    {"address", "--server (or EMSERVE_SERVER)"},
    {"columns", "--columns"},
    {"dataset.columns", "--columns"},
    {"dataset.description", "--description"},
    {"dataset_id", "--id/--keep"},
    {"job.predict.columns", "--columns"},
    {"job.predict.dataset", "--dataset"},
    {"job.predict.forecast_horizon", "--forecast-horizon"},
    {"job.predict.model", "MODEL"},
    {"job.predict.num_paths", "--num-paths"},
    {"job.predict.output_dataset_id", "--output-dataset"},
    {"job.predict.outputs", "--outputs"},
    {"job.predict.sequences.column", "--sequence-column"},
    {"job.predict.sequences.lengths", "--sequence-lengths", true},
    {"job.predict.sequences", "--sequence-column/--sequence-lengths"},
    {"job.sweep.base.model", "--components"},
    {"job.sweep.covariances", "--covariances"},
    {"job.sweep.criterion", "--criterion"},
    {"job.sweep.emissions", "--emissions", true},
    {"job.sweep.num_components", "--components"},
    {"job.timeout", "--timeout"},
    {"forecast_horizon", "--forecast-horizon"},
    {"model", "MODEL"},
    {"model_id", "--model"},
    {"num_paths", "--num-paths"},
    {"num_rows", "-n/--rows"},
    {"outputs", "--outputs"},
    {"sequence_lengths", "--sequence-lengths"},
    {"sequences.lengths", "--sequence-lengths", true},
    {"sequences", "--sequence-column/--sequence-lengths"},
    {"table", "--data"},
    {"table.columns", "--data"},
};

// The same within a FitSpec.
constexpr KnownField kFitFieldOptions[] = {
    {"dataset", "--dataset"},
    {"model.kmeans.constraints", "--fix/--tie"},
    {"model.kmeans.constraints.fixed", "--fix", true},
    {"model.kmeans.constraints.tied", "--tie", true},
    {"model.hidden_markov.allowed_transitions", "--allow-transition/--forbid-transition"},
    {"model.hidden_markov.constraints", "--fix/--tie"},
    {"model.hidden_markov.constraints.fixed", "--fix", true},
    {"model.hidden_markov.constraints.tied", "--tie", true},
    {"model.hidden_markov.emission.product.parts", "--part/--part-option", true},
    {"model.mixture.constraints", "--fix/--tie"},
    {"model.mixture.constraints.fixed", "--fix", true},
    {"model.mixture.constraints.tied", "--tie", true},
    {"model.mixture.emission.product.parts", "--part/--part-option", true},
    {"sequences", "--sequence-column/--sequence-lengths"},
    {"sequences.lengths", "--sequence-lengths", true},
    {"start.model", "--start-from"},
    {"start.parameters", "--start-from", true},
    {"start.responsibility_columns", "--start-responsibilities", true},
};

// Every option's field, as errors name it.
std::vector<FieldOption> AllFieldOptions() {
  std::vector<FieldOption> all;
  const auto add_known = [&all](const std::string& prefix, std::span<const KnownField> fields) {
    for (const KnownField& known : fields) {
      all.push_back({absl::StrCat(prefix, std::string(known.field)), std::string(known.option),
                     known.subfields});
    }
  };
  add_known("", kFieldOptions);
  for (const std::string prefix : {"job.fit.", "job.sweep.base."}) {
    const auto add = [&all](const std::string& path, std::span<const SpecOption> options) {
      for (const SpecOption& option : options) {
        all.push_back({absl::StrCat(path, std::string(option.field)), OptionName(option)});
      }
    };
    add(prefix, FitSpecOptions());
    add(prefix + "sequences.", SequenceOptions());
    add_known(prefix, kFitFieldOptions);
    for (const FamilyCommand& family : FamilyCommands()) {
      const std::string model = prefix + "model.";
      add(absl::StrCat(model, std::string(family.structure), "."), family.structure_options);
      add(absl::StrCat(model, std::string(family.message), "."), family.options);
    }
  }
  return all;
}

// An entry, and how a message goes on after it.
struct Match {
  const FieldOption* entry = nullptr;
  std::string_view in_brackets;
  std::string_view subfield;  // without the dot before it
  std::string_view rest;      // ": ..."
};

Match FindEntry(std::string_view message) {
  static const auto& all = *new std::vector<FieldOption>(AllFieldOptions());
  for (const FieldOption& entry : all) {
    if (message.substr(0, entry.field.size()) != entry.field) continue;
    Match match{.entry = &entry,
                .in_brackets = {},
                .subfield = {},
                .rest = message.substr(entry.field.size())};
    if (match.rest.substr(0, 1) == "[") {
      const size_t end = match.rest.find(entry.subfields ? "]" : "]: ");
      if (end == std::string_view::npos) continue;
      match.in_brackets = match.rest.substr(1, end - 1);
      match.rest.remove_prefix(end + 1);
    }
    if (entry.subfields && match.rest.substr(0, 1) == ".") {
      const size_t end = std::min(match.rest.find(": "), match.rest.size());
      match.subfield = match.rest.substr(1, end - 1);
      match.rest.remove_prefix(end);
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
    // A file of parameters has several arrays; what other options stand for is one thing.
    const bool is_array = match.entry->option == "--start-from" && !match.subfield.empty();
    out = absl::StrCat(subject, is_array ? ": " : "",
                       is_array ? std::string(match.subfield) : std::string(),
                       std::string(match.rest));
    const bool has_rows = is_column || subject.starts_with("--sequence");
    if (has_rows && absl::StrContains(out, " in row ")) {
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
