#include "client/emctl/fit_request.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/csv.h"
#include "client/emctl/constraints.h"
#include "client/emctl/json.h"
#include "client/emctl/set_field.h"
#include "client/emctl/words.h"
#include "client/file.h"

namespace emserve::emctl {
namespace {

std::string EmissionNames() {
  std::vector<std::string> names;
  for (const FamilyCommand& family : FamilyCommands()) {
    if (!family.emission.empty() && family.emission != "product")
      names.emplace_back(family.emission);
  }
  return absl::StrJoin(names, ", ");
}

// "NAME=FAMILY:COLUMN,COLUMN,...".
absl::Status AddPart(const std::string& word, v1::ProductEmission& product) {
  constexpr char kOption[] = "--part";
  const size_t equals = word.find('=');
  const size_t colon = equals == std::string::npos ? equals : word.find(':', equals);
  if (colon == std::string::npos) return Refused(kOption, word, "NAME=FAMILY:COLUMN,COLUMN,...");
  const std::string emission = word.substr(equals + 1, colon - equals - 1);
  const FamilyCommand* const family = FindEmission(emission);
  if (family == nullptr || family->emission == "product") {
    return Refused(kOption, word,
                   absl::StrCat("NAME=FAMILY:..., the family one of ", EmissionNames()));
  }
  const absl::StatusOr<std::vector<std::string>> columns =
      client::SplitCsvRecord(std::string_view(word).substr(colon + 1));
  if (!columns.ok() || columns->empty()) {
    return Refused(kOption, word, "NAME=FAMILY:COLUMN,COLUMN,..., at least one column");
  }
  v1::ProductPart& part = *product.add_parts();
  part.set_name(word.substr(0, equals));
  for (const std::string& column : *columns) part.add_columns(column);
  const std::string_view field = family->message.substr(family->message.rfind('.') + 1);
  SetField(*part.mutable_emission(), field, "");
  return absl::OkStatus();
}

const FamilyCommand& FamilyOf(const v1::EmissionSpec& emission) {
  const google::protobuf::OneofDescriptor& oneof = *v1::EmissionSpec::descriptor()->oneof_decl(0);
  return *FindFamilyOfField(
      v1::EmissionSpec::GetReflection()->GetOneofFieldDescriptor(emission, &oneof)->name());
}

// "NAME.OPTION=VALUE", or "NAME.FLAG".
absl::Status SetPartOption(const std::string& word, v1::ProductEmission& product) {
  constexpr char kOption[] = "--part-option";
  const size_t equals = word.find('=');
  const std::string left = word.substr(0, equals);
  const size_t dot = left.find('.');
  if (dot == std::string::npos) return Refused(kOption, word, "NAME.OPTION=VALUE");
  for (v1::ProductPart& part : *product.mutable_parts()) {
    if (part.name() != left.substr(0, dot)) continue;
    const FamilyCommand& family = FamilyOf(part.emission());
    const SpecOption* const option = FindOption(family.options, left.substr(dot + 1));
    if (option == nullptr) {
      return Refused(kOption, word,
                     absl::StrCat("an option of emctl fit ", std::string(family.name)));
    }
    const bool is_flag = option->value.empty();
    if (is_flag != (equals == std::string::npos)) {
      return Refused(kOption, word, is_flag ? "NAME.FLAG" : "NAME.OPTION=VALUE");
    }
    const std::string_view field = family.message.substr(family.message.rfind('.') + 1);
    const std::string must = SetField(
        *part.mutable_emission(), absl::StrCat(std::string(field), ".", std::string(option->field)),
        is_flag ? std::string(option->flag) : word.substr(equals + 1));
    return must.empty() ? absl::OkStatus() : Refused(kOption, word, must);
  }
  return Refused(kOption, word, "of a part that --part names");
}

// Nested arrays as a tensor; false if they are not of one shape or hold anything but numbers.
bool ReadTensor(const Json& json, size_t depth, v1::Tensor& tensor) {
  const auto rank = static_cast<size_t>(tensor.shape_size());
  if (json.is_number()) {
    tensor.add_values(json.get<double>());
    return depth == rank;
  }
  if (!json.is_array() || json.empty()) return false;
  const auto size = static_cast<int64_t>(json.size());
  // The first element of each depth says how long all are.
  if (depth == rank && tensor.values_size() == 0) {
    tensor.add_shape(size);
  } else if (depth >= rank || tensor.shape(static_cast<int>(depth)) != size) {
    return false;
  }
  return std::all_of(json.begin(), json.end(),
                     [&](const Json& element) { return ReadTensor(element, depth + 1, tensor); });
}

// Parameters from what emctl prints with --json, or from an object of arrays.
absl::Status ReadParameters(const std::string& path, v1::Parameters& parameters) {
  const absl::StatusOr<std::string> text = client::ReadFile(path);
  if (!text.ok()) return text.status();
  Json json = Json::parse(*text, nullptr, false);
  if (json.is_object() && json.contains("parameters")) json = Json(json["parameters"]);
  if (!json.is_object() || json.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": got no parameters, must be what emctl fit --json prints, or an object of arrays"));
  }
  for (const auto& [name, array] : json.items()) {
    v1::NamedTensor& named = *parameters.add_arrays();
    named.set_name(name);
    if (!ReadTensor(array, 0, *named.mutable_tensor())) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": ", name, ": must be numbers in nested arrays of one shape"));
    }
  }
  return absl::OkStatus();
}

absl::Status SetStart(const FitOptions& options, v1::FitSpec& spec) {
  if (options.start_from.empty()) return absl::OkStatus();
  if (absl::EndsWithIgnoreCase(options.start_from, ".json")) {
    return ReadParameters(options.start_from, *spec.mutable_start()->mutable_parameters());
  }
  spec.mutable_start()->set_model(ResourceName("models", options.start_from));
  return absl::OkStatus();
}

bool HasTransition(v1::TransitionPattern pattern, int64_t from, int64_t to) {
  if (pattern == v1::TRANSITION_PATTERN_LEFT_RIGHT) return to >= from;
  if (pattern == v1::TRANSITION_PATTERN_STEPWISE) return to == from || to == from + 1;
  return true;
}

// Which transitions there are, one by one, where the pattern alone does not say.
absl::Status SetTransitions(const FitOptions& options, v1::HiddenMarkovSpec& spec) {
  if (options.allow_transitions.empty() && options.forbid_transitions.empty()) {
    return absl::OkStatus();
  }
  constexpr int64_t kMostStates = 4096;  // so that the list fits a message
  const int64_t num_states = spec.has_num_states() ? spec.num_states() : 1;
  if (!(num_states >= 1 && num_states <= kMostStates)) {
    return Refused("-k/--states/--components", absl::StrCat(num_states),
                   absl::StrCat("from 1 to ", kMostStates,
                                " with --allow-transition and --forbid-transition"));
  }
  if (!options.allow_transitions.empty() && HasTransition(spec.transitions(), 1, 0)) {
    return Refused("--allow-transition", options.allow_transitions.front(),
                   "with --transitions left-right or stepwise, to which it adds; of full ones "
                   "--forbid-transition takes away");
  }
  for (int64_t from = 0; from < num_states; ++from) {
    for (int64_t to = 0; to < num_states; ++to) {
      spec.add_allowed_transitions(HasTransition(spec.transitions(), from, to));
    }
  }
  const auto set = [&](const char* option, const std::string& word, bool allowed) {
    const std::vector<std::string> indices = absl::StrSplit(word, ',');
    int64_t from = -1;
    int64_t to = -1;
    const bool is_pair = indices.size() == 2 && absl::SimpleAtoi(indices[0], &from) &&
                         absl::SimpleAtoi(indices[1], &to);
    if (!(is_pair && from >= 0 && to >= 0 && from < num_states && to < num_states)) {
      return Refused(option, word,
                     absl::StrCat("I,J: from state I to state J, each from 0 to ", num_states - 1));
    }
    const auto element = static_cast<int>(from * num_states + to);
    if (spec.allowed_transitions(element) == allowed) {
      return Refused(
          option, word,
          allowed ? "a transition that there is not yet" : "a transition that there still is");
    }
    spec.set_allowed_transitions(element, allowed);
    return absl::OkStatus();
  };
  for (const std::string& word : options.allow_transitions) {
    if (absl::Status status = set("--allow-transition", word, true); !status.ok()) return status;
  }
  for (const std::string& word : options.forbid_transitions) {
    if (absl::Status status = set("--forbid-transition", word, false); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// Columns that are read but not modelled.
std::vector<std::string> SideColumns(const v1::FitSpec& spec) {
  std::vector<std::string> columns(spec.plausibility_columns().begin(),
                                   spec.plausibility_columns().end());
  const auto& responsibilities = spec.start().responsibility_columns().columns();
  columns.insert(columns.end(), responsibilities.begin(), responsibilities.end());
  if (!spec.weight_column().empty()) columns.push_back(spec.weight_column());
  if (!spec.label_column().empty()) columns.push_back(spec.label_column());
  if (!spec.sequences().column().empty()) columns.push_back(spec.sequences().column());
  return columns;
}

v1::Constraints& MutableConstraintsOf(v1::ModelSpec& spec) {
  if (spec.has_kmeans()) return *spec.mutable_kmeans()->mutable_constraints();
  return spec.has_hidden_markov() ? *spec.mutable_hidden_markov()->mutable_constraints()
                                  : *spec.mutable_mixture()->mutable_constraints();
}

template <typename Names>
bool Contains(const Names& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

absl::StatusOr<v1::FitSpec> SpecOf(const FitOptions& options) {
  if (options.data.empty() == options.dataset.empty()) {
    return absl::InvalidArgumentError("--data, --dataset: must be given, one of them");
  }
  v1::FitSpec spec = options.spec;
  SetField(*spec.mutable_model(), options.family->message, "");
  if (!spec.model_id().empty()) spec.set_model_id(ResourceId("models", spec.model_id()));
  if (absl::Status status = SetStart(options, spec); !status.ok()) return status;
  if (spec.has_update() && !spec.start().has_model()) {
    return absl::InvalidArgumentError(
        "--update: got it without a model, must go with --start-from MODEL, the one to update");
  }
  if (options.family->sequential()) {
    const absl::Status status =
        SetTransitions(options, *spec.mutable_model()->mutable_hidden_markov());
    if (!status.ok()) return status;
  }
  if (options.family->emission != "product") return spec;
  v1::ProductEmission& product = *MutableEmissionOf(*spec.mutable_model()).mutable_product();
  if (options.parts.empty()) {
    return absl::InvalidArgumentError(
        "--part: must be given, at least once: NAME=FAMILY:COLUMN,COLUMN,...");
  }
  for (const std::string& part : options.parts) {
    if (absl::Status status = AddPart(part, product); !status.ok()) return status;
  }
  for (const std::string& option : options.part_options) {
    if (absl::Status status = SetPartOption(option, product); !status.ok()) return status;
  }
  return spec;
}

client::DataFileOptions ReadingOf(const FitOptions& options, const v1::FitSpec& spec) {
  client::DataFileOptions reading = options.reading;
  reading.columns.assign(spec.columns().begin(), spec.columns().end());
  for (const v1::ProductPart& part : EmissionOf(spec.model()).product().parts()) {
    const bool takes_categories = FamilyOf(part.emission()).takes_categories;
    for (const std::string& column : part.columns()) {
      if (!Contains(reading.columns, column)) reading.columns.push_back(column);
      if (takes_categories) reading.categories.push_back(column);
    }
  }
  const std::vector<std::string> side = SideColumns(spec);
  if (!reading.columns.empty()) {
    for (const std::string& column : side) {
      if (!Contains(reading.columns, column)) reading.columns.push_back(column);
    }
  }
  if (options.family->takes_categories) {
    reading.all_categories = true;
    reading.numbers = side;
  }
  // Components and sequences may have names too.
  if (!spec.label_column().empty()) reading.categories.push_back(spec.label_column());
  if (!spec.sequences().column().empty()) reading.categories.push_back(spec.sequences().column());
  if (spec.start().responsibility_columns().columns_size() == 1) {
    reading.categories.push_back(spec.start().responsibility_columns().columns(0));
  }
  return reading;
}

absl::Status AddConstraints(const FitOptions& options, const std::vector<v1::Column>& columns,
                            v1::FitSpec& spec) {
  const auto& categorical = EmissionOf(spec.model()).categorical();
  std::map<std::string, ModelledColumns> blocks;
  const auto add = [&](const std::string& block, const std::string& name) {
    const auto found =
        std::find_if(columns.begin(), columns.end(),
                     [&name](const v1::Column& column) { return column.name() == name; });
    if (found == columns.end()) return;  // for the server to say
    ModelledColumns& modelled = blocks[block];
    const auto c = static_cast<int>(modelled.names.size());
    int64_t num_levels = found->levels_size();
    if (num_levels == 0 && found->has_summary()) {
      const double range = found->summary().maximum() - found->summary().minimum();
      if (range >= 0 && range < 1e6) num_levels = static_cast<int64_t>(range) + 1;
    }
    if (categorical.num_levels_size() == 1) num_levels = categorical.num_levels(0);
    if (c < categorical.num_levels_size()) num_levels = categorical.num_levels(c);
    modelled.names.push_back(name);
    modelled.levels.emplace_back(found->levels().begin(), found->levels().end());
    modelled.num_levels.push_back(num_levels);
  };
  const auto& parts = EmissionOf(spec.model()).product().parts();
  for (const v1::ProductPart& part : parts) {
    for (const std::string& column : part.columns()) {
      add(part.name(), column);
      add("", column);
    }
  }
  const std::vector<std::string> side = SideColumns(spec);
  for (const std::string& column : spec.columns()) {
    if (parts.empty()) add("", column);
  }
  for (const v1::Column& column : columns) {
    const bool is_default = parts.empty() && spec.columns().empty();
    if (is_default && !Contains(side, column.name())) add("", column.name());
  }
  if (spec.model().has_hidden_markov()) {
    const v1::HiddenMarkovSpec& hmm = spec.model().hidden_markov();
    blocks[""].widths = {
        {"transitions", {.size = hmm.num_states(), .option = "--states"}},
        {"durations", {.size = hmm.max_duration(), .option = "--max-duration"}},
    };
  }
  return AddConstraints(options.fix, options.tie, blocks,
                        MutableConstraintsOf(*spec.mutable_model()));
}

}  // namespace emserve::emctl
