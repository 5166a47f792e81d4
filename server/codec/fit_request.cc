#include "server/codec/fit_request.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/wire/model_spec.h"
#include "proto/wire/status.h"
#include "server/codec/emission_spec.h"
#include "server/codec/fields.h"
#include "server/codec/fit_spec.h"
#include "server/codec/inline_table.h"
#include "server/codec/model_spec.h"
#include "server/codec/parameters.h"
#include "server/codec/report.h"
#include "server/codec/sequences.h"
#include "server/ops/version.h"

namespace emserve::server {
namespace {

constexpr std::array kCriteria = {
    std::pair(v1::SWEEP_CRITERION_BIC, SweepCriterion::kBic),
    std::pair(v1::SWEEP_CRITERION_AIC, SweepCriterion::kAic),
    std::pair(v1::SWEEP_CRITERION_ICL, SweepCriterion::kIcl),
    std::pair(v1::SWEEP_CRITERION_LOG_LIKELIHOOD, SweepCriterion::kLogLikelihood),
};

// The columns to model: those of a product's parts, in their order, else those that are named.
absl::StatusOr<std::vector<std::string>> ModelledColumns(const v1::FitSpec& spec,
                                                         std::vector<std::string> of_parts,
                                                         const std::string& path) {
  std::vector<std::string> named(spec.columns().begin(), spec.columns().end());
  if (of_parts.empty()) return named;
  if (!named.empty() && std::multiset<std::string>(named.begin(), named.end()) !=
                            std::multiset<std::string>(of_parts.begin(), of_parts.end())) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ".columns: got others than the product's parts, must be theirs or absent"));
  }
  return of_parts;
}

int64_t SpaceOf(const google::protobuf::Message& message) {
  return static_cast<int64_t>(message.SpaceUsedLong());
}

absl::StatusOr<FitSource> DecodeSource(const v1::FitSpec& spec, const InlineData& data,
                                       const std::string& path) {
  FitSource source;
  if (spec.dataset().empty() == (data.table == nullptr)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ".dataset: got ",
                                                   data.table == nullptr
                                                       ? "neither a dataset nor inline_data"
                                                       : "both a dataset and inline_data",
                                                   ", must be one of them"));
  }
  source.dataset = spec.dataset();
  if (data.table != nullptr) {
    absl::StatusOr<InlineTableData> table = DecodeInlineTable(
        *data.table, data.request, {.columns = {}, .max_bytes = data.max_bytes}, "inline_data");
    if (!table.ok()) return table.status();
    table->held_bytes = SpaceOf(*data.request);
    source.inline_data = *std::move(table);
  }
  source.weight_column = spec.weight_column();
  source.label_column = spec.label_column();
  source.plausibility_columns = {spec.plausibility_columns().begin(),
                                 spec.plausibility_columns().end()};
  const auto& starts = spec.start().responsibility_columns().columns();
  source.responsibility_columns = {starts.begin(), starts.end()};
  if (spec.has_sequences()) {
    absl::StatusOr<SequenceSource> sequences =
        DecodeSequences(spec.sequences(), absl::StrCat(path, ".sequences"));
    if (!sequences.ok()) return sequences.status();
    source.sequences = *std::move(sequences);
  }
  return source;
}

// Writes what was fitted into a stored specification; its bytes are our own.
std::string Respecify(const std::string& bytes, const FittedSpec& fitted) {
  v1::FitSpec spec;
  if (!spec.ParseFromString(bytes)) return bytes;
  CompleteModel(fitted.model, spec);
  if (!fitted.start_model.empty()) spec.mutable_start()->set_model(fitted.start_model);
  if (fitted.update_weight.has_value()) spec.mutable_update()->set_weight(*fitted.update_weight);
  return spec.SerializeAsString();
}

// Everything of a fit but its model, and the specification to keep, whose model is `model`. It is
// decoded from a message of `message_bytes`.
absl::StatusOr<FitRequest> DecodeAround(const std::shared_ptr<const v1::FitSpec>& spec,
                                        const ModelOptions& model,
                                        std::vector<std::string> part_columns,
                                        const InlineData& data, int64_t message_bytes,
                                        const std::string& path) {
  FitRequest fit;
  absl::StatusOr<FitOptions> options = DecodeFitOptions(*spec, path);
  if (!options.ok()) return options.status();
  fit.options = *std::move(options);
  const absl::StatusOr<Storage> storage = DecodeStorage(*spec, path);
  if (!storage.ok()) return storage.status();
  fit.storage = *storage;
  if (spec->start().has_parameters()) {
    fit.start_parameters = [spec](const Layout& layout) {
      return DecodeParameters(spec->start().parameters(), layout, "start.parameters");
    };
  }
  fit.start_model = spec->start().model();
  if (spec->has_update()) {
    UpdateRequest& update = fit.update.emplace();
    if (spec->update().has_weight()) update.weight = spec->update().weight();
  }
  absl::StatusOr<FitSource> source = DecodeSource(*spec, data, path);
  if (!source.ok()) return source.status();
  fit.source = *std::move(source);
  absl::StatusOr<std::vector<std::string>> columns =
      ModelledColumns(*spec, std::move(part_columns), path);
  if (!columns.ok()) return columns.status();
  fit.source.columns = *std::move(columns);
  fit.model_id = spec->model_id();
  v1::FitSpec kept = *spec;
  kept.mutable_columns()->Assign(fit.source.columns.begin(), fit.source.columns.end());
  CompleteFitSpec(model, fit.options, kept);
  fit.spec = kept.SerializeAsString();
  fit.respecify = Respecify;
  fit.server_version = kVersion;
  // The options are about as large as their message; that is kept too, for the paths of errors and
  // for a sweep's candidates, and counted with the data where these came in it.
  fit.options_bytes = message_bytes;
  if (data.table == nullptr && data.request != nullptr) {
    fit.options_bytes += SpaceOf(*data.request);
  }
  return fit;
}

// Where a candidate stands in the lists; -1: not in one.
struct Choice {
  int num_components = -1;
  int covariance = -1;
  int emission = -1;
};

// The candidate's model.
v1::ModelSpec ModelOf(const v1::SweepSpec& spec, const Choice& choice) {
  v1::ModelSpec model = spec.base().model();
  if (choice.num_components >= 0) {
    SetNumComponents(spec.num_components(choice.num_components), model);
  }
  if (choice.emission >= 0) MutableEmissionOf(model) = spec.emissions(choice.emission);
  if (choice.covariance >= 0) {
    SetCovariance(static_cast<v1::Covariance>(spec.covariances(choice.covariance)),
                  MutableEmissionOf(model));
  }
  return model;
}

template <typename List>
absl::Status CheckUnique(const List& list, const std::string& path) {
  for (int i = 0; i < list.size(); ++i) {
    for (int j = 0; j < i; ++j) {
      if (list[i] != list[j]) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(path, "[", i, "]: got ", list[i], " a second time, must be unique"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckLists(const v1::SweepSpec& spec, const std::string& path) {
  const v1::ModelSpec& model = spec.base().model();
  if (!HasEmission(model) && spec.emissions_size() + spec.covariances_size() > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, spec.emissions_size() > 0 ? ".emissions" : ".covariances",
                     ": got some with kmeans, must be absent"));
  }
  constexpr int kMost = static_cast<int>(kMaxCandidates);
  for (const auto& [name, size] : {std::pair(".num_components", spec.num_components_size()),
                                   {".covariances", spec.covariances_size()},
                                   {".emissions", spec.emissions_size()}}) {
    if (size <= kMost) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(path, name, ": got ", size, " entries, must be at most ", kMost));
  }
  absl::Status status = CheckUnique(spec.num_components(), absl::StrCat(path, ".num_components"));
  if (!status.ok()) return status;
  status = CheckUnique(spec.covariances(), absl::StrCat(path, ".covariances"));
  if (!status.ok()) return status;
  bool any = spec.covariances().empty();
  for (int e = 0; e < spec.emissions_size(); ++e) {
    absl::StatusOr<EmissionOptions> emission =
        DecodeEmissionSpec(spec.emissions(e), absl::StrCat(path, ".emissions[", e, "]"));
    if (!emission.ok()) return emission.status();
    any = any || HasCovariance(spec.emissions(e));
  }
  if (spec.emissions().empty()) any = any || HasCovariance(EmissionOf(model));
  for (int c = 0; c < spec.covariances_size(); ++c) {
    const int value = spec.covariances(c);
    if (value != 0 && v1::Covariance_IsValid(value)) continue;
    return UnknownEnum(absl::StrCat(path, ".covariances[", c, "]"), *v1::Covariance_descriptor(),
                       value);
  }
  if (any) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      path, ".covariances: got some, must be absent without an emission that has one"));
}

// Candidates are decoded one after another, twice: together they must not be more than a moment's
// work, however large the constraints and priors are that they share.
absl::Status CheckSize(const v1::SweepSpec& spec, const std::vector<Choice>& choices,
                       const std::string& path) {
  constexpr int64_t kMaxBytes = int64_t{256} << 20;
  const auto of_base = static_cast<int64_t>(spec.base().model().ByteSizeLong());
  std::vector<int64_t> of_emission;
  for (const v1::EmissionSpec& emission : spec.emissions()) {
    of_emission.push_back(static_cast<int64_t>(emission.ByteSizeLong()));
  }
  int64_t emissions = 0;
  for (const Choice& choice : choices) {
    if (choice.emission >= 0) emissions += of_emission[static_cast<size_t>(choice.emission)];
  }
  const auto num_choices = static_cast<int64_t>(choices.size());
  if (of_base * num_choices + emissions <= kMaxBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(path, of_base * num_choices > emissions ? ".base.model" : ".emissions", ": got ",
                   of_base * num_choices + emissions, " bytes of models in all ", num_choices,
                   " candidates, must be at most ", kMaxBytes,
                   "; try fewer candidates at a time, or fewer constraints and smaller priors"));
}

// All combinations of the lists: emissions slowest, numbers of components fastest.
absl::StatusOr<std::vector<Choice>> Choices(const v1::SweepSpec& spec, const std::string& path) {
  const v1::ModelSpec& model = spec.base().model();
  if (model.structure_case() == v1::ModelSpec::STRUCTURE_NOT_SET) {
    return DecodeModelSpec(model, absl::StrCat(path, ".base.model")).status();
  }
  if (absl::Status status = CheckLists(spec, path); !status.ok()) return status;
  std::vector<Choice> choices;
  for (int e = spec.emissions().empty() ? -1 : 0; e < spec.emissions_size(); ++e) {
    const v1::EmissionSpec& emission = e < 0 ? EmissionOf(model) : spec.emissions(e);
    const int num_covariances = HasCovariance(emission) ? spec.covariances_size() : 0;
    for (int c = num_covariances == 0 ? -1 : 0; c < num_covariances; ++c) {
      for (int k = spec.num_components().empty() ? -1 : 0; k < spec.num_components_size(); ++k) {
        choices.push_back({k, c, e});
        if (choices.size() <= kMaxCandidates) continue;
        return absl::InvalidArgumentError(
            absl::StrCat(path, ".num_components: got more than ", kMaxCandidates,
                         " candidates with the other lists, must be fewer"));
      }
    }
  }
  if (absl::Status status = CheckSize(spec, choices, path); !status.ok()) return status;
  return choices;
}

// Where a field of a candidate's FitSpec stands in `spec`.
std::string PathOf(const v1::SweepSpec& spec, const Choice& choice, std::string_view field) {
  const std::string number = NumComponentsField(spec.base().model());
  if (choice.num_components >= 0 && field == absl::StrCat("model.", number)) {
    return absl::StrCat("num_components[", choice.num_components, "]");
  }
  const std::string structure = number.substr(0, number.find('.'));
  const std::string emission = absl::StrCat("model.", structure, ".emission.");
  if (field.starts_with(emission)) {
    if (choice.covariance >= 0 && field.ends_with(".covariance")) {
      return absl::StrCat("covariances[", choice.covariance, "]");
    }
    if (choice.emission >= 0) {
      return absl::StrCat("emissions[", choice.emission, "].",
                          std::string(field.substr(emission.size())));
    }
  }
  return absl::StrCat("base.", std::string(field));
}

}  // namespace

absl::StatusOr<FitRequest> DecodeFitRequest(const std::shared_ptr<const v1::FitSpec>& spec,
                                            const InlineData& data, const std::string& path) {
  absl::StatusOr<ModelOptions> model = DecodeModelSpec(spec->model(), absl::StrCat(path, ".model"));
  if (!model.ok()) return model.status();
  absl::StatusOr<FitRequest> fit = DecodeAround(
      spec, *model, ProductColumns(EmissionOf(spec->model())), data, SpaceOf(*spec), path);
  if (!fit.ok()) return fit.status();
  fit->model = *std::move(model);
  fit->model_field = [spec](std::string_view field) {
    return ModelSpecField(spec->model(), field);
  };
  return fit;
}

absl::StatusOr<SweepRequest> DecodeSweepRequest(const std::shared_ptr<const v1::SweepSpec>& spec,
                                                const InlineData& data, const std::string& path) {
  SweepRequest sweep;
  const std::string base_path = absl::StrCat(path, ".base");
  absl::StatusOr<std::vector<Choice>> choices = Choices(*spec, path);
  if (!choices.ok()) return choices.status();
  SweepCriterion criterion = SweepCriterion::kBic;
  absl::Status status =
      DecodeEnum(kCriteria, spec->criterion(), absl::StrCat(path, ".criterion"), criterion);
  if (!status.ok()) return status;
  if (spec->criterion() != v1::SWEEP_CRITERION_UNSPECIFIED) sweep.criterion = criterion;
  std::optional<ModelOptions> first;
  std::vector<std::string> part_columns;
  for (const Choice& choice : *choices) {
    const v1::ModelSpec chosen = ModelOf(*spec, choice);
    absl::StatusOr<ModelOptions> model = DecodeModelSpec(chosen, absl::StrCat(base_path, ".model"));
    if (!model.ok()) return model.status();
    if (!first.has_value()) first = *std::move(model);
    std::vector<std::string> columns = ProductColumns(EmissionOf(chosen));
    if (part_columns.empty()) part_columns = columns;
    if (!columns.empty() && columns != part_columns) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ".emissions[", choice.emission,
                       "].product: got other columns than a product before, must be the same in "
                       "the same order"));
    }
  }
  const std::shared_ptr<const v1::FitSpec> base(spec, &spec->base());
  absl::StatusOr<FitRequest> fit =
      DecodeAround(base, *first, std::move(part_columns), data, SpaceOf(*spec), base_path);
  if (!fit.ok()) return fit.status();
  sweep.base = *std::move(fit);
  // `spec` holds the lists and the shared parts of all candidates.
  const auto shared = std::make_shared<const std::vector<Choice>>(*std::move(choices));
  sweep.num_candidates = shared->size();
  sweep.candidate = [spec, shared](size_t i) -> absl::StatusOr<SweepCandidate> {
    const Choice& choice = shared->at(i);
    absl::StatusOr<ModelOptions> model = DecodeModelSpec(ModelOf(*spec, choice), "base.model");
    if (!model.ok()) return model.status();
    SweepCandidate candidate{.model = *std::move(model), .emission = std::nullopt};
    if (choice.emission >= 0) candidate.emission = choice.emission;
    return candidate;
  };
  sweep.model_field = [spec, shared](size_t i, std::string_view field) {
    return ModelSpecField(ModelOf(*spec, shared->at(i)), field);
  };
  sweep.path = [spec, shared](size_t i, std::string_view field) {
    return PathOf(*spec, shared->at(i), field);
  };
  return sweep;
}

void EncodeSweepRow(const SweepRow& row, v1::SweepRow& out) {
  out.set_candidate(row.candidate);
  out.set_num_components(row.num_components);
  if (row.covariance.has_value()) out.set_covariance(EncodeCovariance(*row.covariance));
  out.set_family(std::string(row.family));
  if (row.emission.has_value()) out.set_emission(*row.emission);
  if (!row.status.ok()) {
    *out.mutable_error() = ToProto(row.status);
    return;
  }
  out.set_objective(row.objective);
  out.set_log_likelihood(row.log_likelihood);
  out.set_degrees_of_freedom(row.degrees_of_freedom);
  if (row.aic.has_value()) out.set_aic(*row.aic);
  if (row.bic.has_value()) out.set_bic(*row.bic);
  if (row.icl.has_value()) out.set_icl(*row.icl);
  if (row.relative_entropy.has_value()) out.set_relative_entropy(*row.relative_entropy);
  out.set_termination(EncodeTermination(row.termination));
  out.set_degenerate(row.degenerate);
  out.set_message(row.message);
  out.set_total_iterations(row.total_iterations);
}

void EncodeSweepResult(const SweepJobResult& result, v1::SweepResult& out) {
  for (const auto& row : result.rows) EncodeSweepRow(*row, *out.add_rows());
  out.set_best(result.best);
  out.set_model_version(result.model_version);
  EncodeReport(*result.report, *out.mutable_report());
  out.set_criterion(EncodeEnum(kCriteria, result.criterion));
}

}  // namespace emserve::server
