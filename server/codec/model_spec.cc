#include "server/codec/model_spec.h"

#include <array>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "server/codec/fields.h"

namespace emserve::server {
namespace {

constexpr std::array kCovariances = {
    std::pair(v1::COVARIANCE_FULL, Covariance::kFull),
    std::pair(v1::COVARIANCE_TIED, Covariance::kTied),
    std::pair(v1::COVARIANCE_DIAGONAL, Covariance::kDiagonal),
    std::pair(v1::COVARIANCE_TIED_DIAGONAL, Covariance::kTiedDiagonal),
    std::pair(v1::COVARIANCE_SPHERICAL, Covariance::kSpherical),
    std::pair(v1::COVARIANCE_TIED_SPHERICAL, Covariance::kTiedSpherical),
};

absl::StatusOr<EmissionOptions> Decode(const v1::GaussianEmission& spec, const std::string& path) {
  GaussianOptions options;
  if (spec.covariance() != v1::COVARIANCE_UNSPECIFIED) {
    bool known = false;
    for (const auto& [wire, core] : kCovariances) {
      if (wire != spec.covariance()) continue;
      options.covariance = core;
      known = true;
    }
    if (!known) {
      return UnknownEnum(absl::StrCat(path, ".covariance"), *v1::Covariance_descriptor(),
                         spec.covariance());
    }
  }
  if (spec.has_ridge()) options.ridge = spec.ridge();
  return options;
}

absl::StatusOr<EmissionOptions> Decode(const v1::EmissionSpec& spec, const std::string& path) {
  switch (spec.emission_case()) {
    case v1::EmissionSpec::kGaussian:
      return Decode(spec.gaussian(), absl::StrCat(path, ".gaussian"));
    case v1::EmissionSpec::EMISSION_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": got none, must be one of the emissions, e.g. {\"gaussian\": {}}"));
}

absl::StatusOr<ModelOptions> Decode(const v1::MixtureSpec& spec, const std::string& path) {
  MixtureOptions options;
  if (spec.has_num_components()) options.num_components = spec.num_components();
  absl::StatusOr<EmissionOptions> emission =
      Decode(spec.emission(), absl::StrCat(path, ".emission"));
  if (!emission.ok()) return emission.status();
  options.emission = *std::move(emission);
  return options;
}

void Encode(const GaussianOptions& options, v1::EmissionSpec& spec) {
  for (const auto& [wire, core] : kCovariances) {
    if (core == options.covariance) spec.mutable_gaussian()->set_covariance(wire);
  }
  spec.mutable_gaussian()->set_ridge(options.ridge);
}

void Encode(const MixtureOptions& options, v1::ModelSpec& spec) {
  spec.mutable_mixture()->set_num_components(options.num_components);
  v1::EmissionSpec& emission = *spec.mutable_mixture()->mutable_emission();
  std::visit([&emission](const auto& chosen) { Encode(chosen, emission); }, options.emission);
}

// Name of the one field that is set in the oneof `name` of `message`.
std::string OneofField(const google::protobuf::Message& message, const std::string& name) {
  const google::protobuf::FieldDescriptor* field = message.GetReflection()->GetOneofFieldDescriptor(
      message, message.GetDescriptor()->FindOneofByName(name));
  return field == nullptr ? "" : field->name();
}

}  // namespace

absl::StatusOr<ModelOptions> DecodeModelSpec(const v1::ModelSpec& spec, const std::string& path) {
  switch (spec.structure_case()) {
    case v1::ModelSpec::kMixture:
      return Decode(spec.mixture(), absl::StrCat(path, ".mixture"));
    case v1::ModelSpec::STRUCTURE_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(path,
                   ": got none, must be one of the latent structures, e.g. {\"mixture\": "
                   "{\"num_components\": 2, \"emission\": {\"gaussian\": {}}}}"));
}

void EncodeModelSpec(const ModelOptions& options, v1::ModelSpec& spec) {
  std::visit([&spec](const auto& chosen) { Encode(chosen, spec); }, options);
}

std::string ModelSpecField(const ModelOptions& options, std::string_view field) {
  v1::ModelSpec spec;
  EncodeModelSpec(options, spec);
  const std::string structure = OneofField(spec, "structure");
  constexpr std::string_view kEmission = "emission.";
  if (field == "num_components") return absl::StrCat(structure, ".num_components");
  if (field.substr(0, kEmission.size()) != kEmission) return "";
  const google::protobuf::Message& chosen =
      spec.GetReflection()->GetMessage(spec, spec.GetDescriptor()->FindFieldByName(structure));
  const google::protobuf::Message& emission = chosen.GetReflection()->GetMessage(
      chosen, chosen.GetDescriptor()->FindFieldByName("emission"));
  return absl::StrCat(structure, ".emission.", OneofField(emission, "emission"), ".",
                      std::string(field.substr(kEmission.size())));
}

}  // namespace emserve::server
