#include "server/codec/model_spec.h"

#include <algorithm>
#include <array>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "proto/wire/model_spec.h"
#include "server/codec/emission_spec.h"
#include "server/codec/fields.h"

namespace emserve::server {
namespace {

ConstraintOptions Decode(const v1::Constraints& spec) {
  ConstraintOptions options;
  for (const v1::FixedElements& fixed : spec.fixed()) {
    options.fixed.push_back({fixed.array(),
                             {fixed.elements().begin(), fixed.elements().end()},
                             {fixed.values().begin(), fixed.values().end()}});
  }
  for (const v1::TiedElements& tied : spec.tied()) {
    options.tied.push_back({tied.array(), {tied.elements().begin(), tied.elements().end()}});
  }
  return options;
}

void Encode(const ConstraintOptions& options, v1::Constraints& spec) {
  for (const FixedElements& fixed : options.fixed) {
    v1::FixedElements& to = *spec.add_fixed();
    to.set_array(fixed.array);
    to.mutable_elements()->Assign(fixed.elements.begin(), fixed.elements.end());
    to.mutable_values()->Assign(fixed.values.begin(), fixed.values.end());
  }
  for (const TiedElements& tied : options.tied) {
    v1::TiedElements& to = *spec.add_tied();
    to.set_array(tied.array);
    to.mutable_elements()->Assign(tied.elements.begin(), tied.elements.end());
  }
}

absl::StatusOr<ModelOptions> Decode(const v1::MixtureSpec& spec, const std::string& path) {
  MixtureOptions options;
  if (spec.has_num_components()) options.num_components = spec.num_components();
  absl::StatusOr<EmissionOptions> emission =
      DecodeEmissionSpec(spec.emission(), absl::StrCat(path, ".emission"));
  if (!emission.ok()) return emission.status();
  options.emission = *std::move(emission);
  if (spec.has_noise()) options.noise = spec.noise();
  if (spec.has_weight_concentration()) options.weight_concentration = spec.weight_concentration();
  options.constraints = Decode(spec.constraints());
  return options;
}

void Encode(const MixtureOptions& options, v1::ModelSpec& out) {
  v1::MixtureSpec& spec = *out.mutable_mixture();
  spec.set_num_components(options.num_components);
  EncodeEmissionSpec(options.emission, *spec.mutable_emission());
  spec.set_noise(options.noise);
  spec.set_weight_concentration(options.weight_concentration);
  if (!options.constraints.empty()) Encode(options.constraints, *spec.mutable_constraints());
}

ModelOptions Decode(const v1::KMeansSpec& spec) {
  KMeansOptions options;
  if (spec.has_num_components()) options.num_components = spec.num_components();
  if (spec.has_spherical()) options.spherical = spec.spherical();
  options.constraints = Decode(spec.constraints());
  return options;
}

void Encode(const KMeansOptions& options, v1::ModelSpec& out) {
  v1::KMeansSpec& spec = *out.mutable_kmeans();
  spec.set_num_components(options.num_components);
  spec.set_spherical(options.spherical);
  if (!options.constraints.empty()) Encode(options.constraints, *spec.mutable_constraints());
}

constexpr std::array kInitials = {
    std::pair(v1::INITIAL_DISTRIBUTION_FREE, InitialDistribution::kFree),
    std::pair(v1::INITIAL_DISTRIBUTION_STATIONARY, InitialDistribution::kStationary),
};
constexpr std::array kTransitions = {
    std::pair(v1::TRANSITION_PATTERN_FULL, TransitionPattern::kFull),
    std::pair(v1::TRANSITION_PATTERN_LEFT_RIGHT, TransitionPattern::kLeftRight),
    std::pair(v1::TRANSITION_PATTERN_STEPWISE, TransitionPattern::kStepwise),
};

constexpr std::array kDurations = {
    std::pair(v1::DURATION_KIND_GEOMETRIC, DurationKind::kGeometric),
    std::pair(v1::DURATION_KIND_FREE, DurationKind::kFree),
    std::pair(v1::DURATION_KIND_POISSON, DurationKind::kPoisson),
    std::pair(v1::DURATION_KIND_NEGATIVE_BINOMIAL, DurationKind::kNegativeBinomial),
};

absl::StatusOr<ModelOptions> Decode(const v1::HiddenMarkovSpec& spec, const std::string& path) {
  HmmOptions options;
  if (spec.has_num_states()) options.num_states = spec.num_states();
  absl::StatusOr<EmissionOptions> emission =
      DecodeEmissionSpec(spec.emission(), absl::StrCat(path, ".emission"));
  if (!emission.ok()) return emission.status();
  options.emission = *std::move(emission);
  absl::Status status =
      DecodeEnum(kInitials, spec.initial(), absl::StrCat(path, ".initial"), options.initial);
  if (status.ok()) {
    status = DecodeEnum(kTransitions, spec.transitions(), absl::StrCat(path, ".transitions"),
                        options.transitions);
  }
  if (status.ok()) {
    status = DecodeEnum(kDurations, spec.durations(), absl::StrCat(path, ".durations"),
                        options.durations);
  }
  if (!status.ok()) return status;
  options.allowed_transitions = {spec.allowed_transitions().begin(),
                                 spec.allowed_transitions().end()};
  if (spec.has_initial_concentration()) {
    options.initial_concentration = spec.initial_concentration();
  }
  if (spec.has_transition_concentration()) {
    options.transition_concentration = spec.transition_concentration();
  }
  if (spec.has_stickiness()) options.stickiness = spec.stickiness();
  if (spec.has_max_duration()) options.max_duration = spec.max_duration();
  if (spec.has_duration_concentration()) {
    options.duration_concentration = spec.duration_concentration();
  }
  options.constraints = Decode(spec.constraints());
  return options;
}

void Encode(const HmmOptions& options, v1::ModelSpec& out) {
  v1::HiddenMarkovSpec& spec = *out.mutable_hidden_markov();
  spec.set_num_states(options.num_states);
  EncodeEmissionSpec(options.emission, *spec.mutable_emission());
  spec.set_initial(EncodeEnum(kInitials, options.initial));
  spec.set_transitions(EncodeEnum(kTransitions, options.transitions));
  spec.mutable_allowed_transitions()->Assign(options.allowed_transitions.begin(),
                                             options.allowed_transitions.end());
  spec.set_initial_concentration(options.initial_concentration);
  spec.set_transition_concentration(options.transition_concentration);
  spec.set_stickiness(options.stickiness);
  spec.set_durations(EncodeEnum(kDurations, options.durations));
  if (options.durations != DurationKind::kGeometric) spec.set_max_duration(options.max_duration);
  spec.set_duration_concentration(options.duration_concentration);
  if (!options.constraints.empty()) Encode(options.constraints, *spec.mutable_constraints());
}

// Name of the structure that is set.
std::string StructureOf(const v1::ModelSpec& spec) {
  const google::protobuf::FieldDescriptor* field = spec.GetReflection()->GetOneofFieldDescriptor(
      spec, v1::ModelSpec::descriptor()->FindOneofByName("structure"));
  return field == nullptr ? "" : field->name();
}

}  // namespace

absl::StatusOr<ModelOptions> DecodeModelSpec(const v1::ModelSpec& spec, const std::string& path) {
  switch (spec.structure_case()) {
    case v1::ModelSpec::kMixture:
      return Decode(spec.mixture(), absl::StrCat(path, ".mixture"));
    case v1::ModelSpec::kKmeans:
      return Decode(spec.kmeans());
    case v1::ModelSpec::kHiddenMarkov:
      return Decode(spec.hidden_markov(), absl::StrCat(path, ".hidden_markov"));
    case v1::ModelSpec::STRUCTURE_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(path,
                   ": got none, must be one of the latent structures, e.g. {\"mixture\": "
                   "{\"num_components\": 2, \"emission\": {\"gaussian\": {}}}}"));
}

void EncodeModelSpec(const ModelOptions& options, v1::ModelSpec& spec) {
  spec.Clear();
  std::visit([&spec](const auto& chosen) { Encode(chosen, spec); }, options);
}

std::string ModelSpecField(const ModelOptions& options, std::string_view field) {
  v1::ModelSpec spec;
  EncodeModelSpec(options, spec);
  return ModelSpecField(spec, field);
}

std::string ModelSpecField(const v1::ModelSpec& spec, std::string_view field) {
  const std::string structure = StructureOf(spec);
  constexpr std::string_view kEmission = "emission";
  if (field.starts_with(kEmission)) {
    if (!HasEmission(spec)) return "";
    const size_t dot = std::min(field.size(), kEmission.size() + 1);
    return absl::StrCat(structure, ".emission.",
                        EmissionSpecField(EmissionOf(spec), field.substr(dot)));
  }
  // The head of "constraints.fixed[0].array" is the field.
  const std::string head(field.substr(0, field.find_first_of(".[")));
  const google::protobuf::FieldDescriptor* const chosen =
      v1::ModelSpec::descriptor()->FindFieldByName(structure);
  if (chosen == nullptr || chosen->message_type()->FindFieldByName(head) == nullptr) return "";
  return absl::StrCat(structure, ".", std::string(field));
}

std::string NumComponentsField(const v1::ModelSpec& spec) {
  return absl::StrCat(StructureOf(spec),
                      spec.has_hidden_markov() ? ".num_states" : ".num_components");
}

}  // namespace emserve::server
