#include "server/codec/emission_spec.h"

#include <array>
#include <optional>
#include <unordered_set>
#include <utility>
#include <variant>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/codec/fields.h"
#include "server/names.h"

namespace emserve::server {
namespace {

constexpr std::array kCovariances = {
    std::pair(v1::COVARIANCE_FULL, Covariance::kFull),
    std::pair(v1::COVARIANCE_TIED, Covariance::kTied),
    std::pair(v1::COVARIANCE_DIAGONAL, Covariance::kDiagonal),
    std::pair(v1::COVARIANCE_TIED_DIAGONAL, Covariance::kTiedDiagonal),
    std::pair(v1::COVARIANCE_SPHERICAL, Covariance::kSpherical),
    std::pair(v1::COVARIANCE_TIED_SPHERICAL, Covariance::kTiedSpherical),
    std::pair(v1::COVARIANCE_VEI, Covariance::kVEI),
    std::pair(v1::COVARIANCE_EVI, Covariance::kEVI),
    std::pair(v1::COVARIANCE_VEE, Covariance::kVEE),
    std::pair(v1::COVARIANCE_EVE, Covariance::kEVE),
    std::pair(v1::COVARIANCE_VVE, Covariance::kVVE),
    std::pair(v1::COVARIANCE_EEV, Covariance::kEEV),
    std::pair(v1::COVARIANCE_VEV, Covariance::kVEV),
    std::pair(v1::COVARIANCE_EVV, Covariance::kEVV),
};

template <typename T>
std::vector<T> Values(const google::protobuf::RepeatedField<T>& field) {
  return {field.begin(), field.end()};
}
template <typename T>
void Assign(const std::vector<T>& values, google::protobuf::RepeatedField<T>& field) {
  field.Assign(values.begin(), values.end());
}

NormalInverseWishart Decode(const v1::NormalInverseWishart& spec) {
  NormalInverseWishart prior;
  prior.mean = Values(spec.mean());
  if (spec.has_shrinkage()) prior.shrinkage = spec.shrinkage();
  if (spec.has_degrees_of_freedom()) prior.degrees_of_freedom = spec.degrees_of_freedom();
  prior.scale = Values(spec.scale());
  return prior;
}
void Encode(const NormalInverseWishart& prior, v1::NormalInverseWishart& spec) {
  Assign(prior.mean, *spec.mutable_mean());
  spec.set_shrinkage(prior.shrinkage);
  if (prior.degrees_of_freedom.has_value()) spec.set_degrees_of_freedom(*prior.degrees_of_freedom);
  Assign(prior.scale, *spec.mutable_scale());
}

GammaPrior Decode(const v1::GammaPrior& spec) {
  GammaPrior prior;
  if (spec.has_shape()) prior.shape = spec.shape();
  if (spec.has_rate()) prior.rate = spec.rate();
  return prior;
}
void Encode(const GammaPrior& prior, v1::GammaPrior& spec) {
  spec.set_shape(prior.shape);
  spec.set_rate(prior.rate);
}

absl::StatusOr<LeafOptions> Decode(const v1::GaussianEmission& spec, const std::string& path) {
  GaussianOptions options;
  absl::Status status = DecodeEnum(kCovariances, spec.covariance(),
                                   absl::StrCat(path, ".covariance"), options.covariance);
  if (!status.ok()) return status;
  if (spec.has_ridge()) options.ridge = spec.ridge();
  if (spec.has_prior()) options.prior = Decode(spec.prior());
  return options;
}
void Encode(const GaussianOptions& options, v1::EmissionSpec& out) {
  v1::GaussianEmission& spec = *out.mutable_gaussian();
  spec.set_covariance(EncodeEnum(kCovariances, options.covariance));
  spec.set_ridge(options.ridge);
  if (options.prior.has_value()) Encode(*options.prior, *spec.mutable_prior());
}

absl::StatusOr<LeafOptions> Decode(const v1::StudentTEmission& spec, const std::string& path) {
  StudentTOptions options;
  absl::Status status = DecodeEnum(kCovariances, spec.covariance(),
                                   absl::StrCat(path, ".covariance"), options.covariance);
  if (!status.ok()) return status;
  if (spec.has_ridge()) options.ridge = spec.ridge();
  if (spec.has_estimate_degrees_of_freedom()) {
    options.estimate_degrees_of_freedom = spec.estimate_degrees_of_freedom();
  }
  if (spec.has_shared_degrees_of_freedom()) {
    options.shared_degrees_of_freedom = spec.shared_degrees_of_freedom();
  }
  if (spec.has_degrees_of_freedom()) options.degrees_of_freedom = spec.degrees_of_freedom();
  if (spec.has_minimum_degrees_of_freedom()) {
    options.minimum_degrees_of_freedom = spec.minimum_degrees_of_freedom();
  }
  if (spec.has_maximum_degrees_of_freedom()) {
    options.maximum_degrees_of_freedom = spec.maximum_degrees_of_freedom();
  }
  if (spec.has_prior()) options.prior = Decode(spec.prior());
  return options;
}
void Encode(const StudentTOptions& options, v1::EmissionSpec& out) {
  v1::StudentTEmission& spec = *out.mutable_student_t();
  spec.set_covariance(EncodeEnum(kCovariances, options.covariance));
  spec.set_ridge(options.ridge);
  spec.set_estimate_degrees_of_freedom(options.estimate_degrees_of_freedom);
  spec.set_shared_degrees_of_freedom(options.shared_degrees_of_freedom);
  if (options.degrees_of_freedom.has_value()) {
    spec.set_degrees_of_freedom(*options.degrees_of_freedom);
  }
  spec.set_minimum_degrees_of_freedom(options.minimum_degrees_of_freedom);
  spec.set_maximum_degrees_of_freedom(options.maximum_degrees_of_freedom);
  if (options.prior.has_value()) Encode(*options.prior, *spec.mutable_prior());
}

absl::StatusOr<LeafOptions> Decode(const v1::BernoulliEmission& spec, const std::string&) {
  BernoulliOptions options;
  if (spec.has_alpha()) options.alpha = spec.alpha();
  if (spec.has_beta()) options.beta = spec.beta();
  return options;
}
void Encode(const BernoulliOptions& options, v1::EmissionSpec& out) {
  out.mutable_bernoulli()->set_alpha(options.alpha);
  out.mutable_bernoulli()->set_beta(options.beta);
}

absl::StatusOr<LeafOptions> Decode(const v1::CategoricalEmission& spec, const std::string&) {
  CategoricalOptions options;
  options.first = Values(spec.first());
  options.num_levels = Values(spec.num_levels());
  if (spec.has_concentration()) options.concentration = spec.concentration();
  return options;
}
void Encode(const CategoricalOptions& options, v1::EmissionSpec& out) {
  v1::CategoricalEmission& spec = *out.mutable_categorical();
  Assign(options.first, *spec.mutable_first());
  Assign(options.num_levels, *spec.mutable_num_levels());
  spec.set_concentration(options.concentration);
}

absl::StatusOr<LeafOptions> Decode(const v1::MultinomialEmission& spec, const std::string&) {
  MultinomialOptions options;
  if (spec.has_concentration()) options.concentration = spec.concentration();
  if (spec.has_trials()) options.trials = spec.trials();
  return options;
}
void Encode(const MultinomialOptions& options, v1::EmissionSpec& out) {
  out.mutable_multinomial()->set_concentration(options.concentration);
  out.mutable_multinomial()->set_trials(options.trials);
}

absl::StatusOr<LeafOptions> Decode(const v1::PoissonEmission& spec, const std::string&) {
  return PoissonOptions{.prior = Decode(spec.prior())};
}
void Encode(const PoissonOptions& options, v1::EmissionSpec& out) {
  Encode(options.prior, *out.mutable_poisson()->mutable_prior());
}

absl::StatusOr<LeafOptions> Decode(const v1::NegativeBinomialEmission& spec, const std::string&) {
  return NegativeBinomialOptions{.mean_prior = Decode(spec.mean_prior()),
                                 .dispersion_prior = Decode(spec.dispersion_prior())};
}
void Encode(const NegativeBinomialOptions& options, v1::EmissionSpec& out) {
  v1::NegativeBinomialEmission& spec = *out.mutable_negative_binomial();
  Encode(options.mean_prior, *spec.mutable_mean_prior());
  Encode(options.dispersion_prior, *spec.mutable_dispersion_prior());
}

absl::StatusOr<LeafOptions> Decode(const v1::ExponentialEmission& spec, const std::string&) {
  ExponentialOptions options;
  if (spec.has_ridge()) options.ridge = spec.ridge();
  options.prior = Decode(spec.prior());
  return options;
}
void Encode(const ExponentialOptions& options, v1::EmissionSpec& out) {
  out.mutable_exponential()->set_ridge(options.ridge);
  Encode(options.prior, *out.mutable_exponential()->mutable_prior());
}

absl::StatusOr<LeafOptions> Decode(const v1::GammaEmission& spec, const std::string&) {
  GammaOptions options;
  if (spec.has_ridge()) options.ridge = spec.ridge();
  if (spec.prior().has_observations()) options.prior.observations = spec.prior().observations();
  if (spec.prior().has_mean()) options.prior.mean = spec.prior().mean();
  if (spec.prior().has_shape()) options.prior.shape = spec.prior().shape();
  return options;
}
void Encode(const GammaOptions& options, v1::EmissionSpec& out) {
  v1::GammaEmission& spec = *out.mutable_gamma();
  spec.set_ridge(options.ridge);
  spec.mutable_prior()->set_observations(options.prior.observations);
  spec.mutable_prior()->set_mean(options.prior.mean);
  spec.mutable_prior()->set_shape(options.prior.shape);
}

absl::StatusOr<LeafOptions> Decode(const v1::LogNormalEmission& spec, const std::string&) {
  LogNormalOptions options;
  if (spec.has_ridge()) options.ridge = spec.ridge();
  if (!spec.has_prior()) return options;
  LogNormalOptions::Prior& prior = options.prior.emplace();
  if (spec.prior().has_mean()) prior.mean = spec.prior().mean();
  if (spec.prior().has_observations()) prior.observations = spec.prior().observations();
  if (spec.prior().has_shape()) prior.shape = spec.prior().shape();
  if (spec.prior().has_scale()) prior.scale = spec.prior().scale();
  return options;
}
void Encode(const LogNormalOptions& options, v1::EmissionSpec& out) {
  v1::LogNormalEmission& spec = *out.mutable_log_normal();
  spec.set_ridge(options.ridge);
  if (!options.prior.has_value()) return;
  spec.mutable_prior()->set_mean(options.prior->mean);
  spec.mutable_prior()->set_observations(options.prior->observations);
  spec.mutable_prior()->set_shape(options.prior->shape);
  spec.mutable_prior()->set_scale(options.prior->scale);
}

absl::StatusOr<LeafOptions> Decode(const v1::VonMisesFisherEmission& spec, const std::string&) {
  VonMisesFisherOptions options;
  if (spec.has_shared_concentration()) options.shared_concentration = spec.shared_concentration();
  options.prior_mean = Values(spec.prior_mean());
  if (spec.has_prior_strength()) options.prior_strength = spec.prior_strength();
  return options;
}
void Encode(const VonMisesFisherOptions& options, v1::EmissionSpec& out) {
  v1::VonMisesFisherEmission& spec = *out.mutable_von_mises_fisher();
  spec.set_shared_concentration(options.shared_concentration);
  Assign(options.prior_mean, *spec.mutable_prior_mean());
  spec.set_prior_strength(options.prior_strength);
}

absl::StatusOr<LeafOptions> DecodeLeaf(const v1::EmissionSpec& spec, const std::string& path) {
  switch (spec.emission_case()) {
    case v1::EmissionSpec::kGaussian:
      return Decode(spec.gaussian(), absl::StrCat(path, ".gaussian"));
    case v1::EmissionSpec::kStudentT:
      return Decode(spec.student_t(), absl::StrCat(path, ".student_t"));
    case v1::EmissionSpec::kBernoulli:
      return Decode(spec.bernoulli(), path);
    case v1::EmissionSpec::kCategorical:
      return Decode(spec.categorical(), path);
    case v1::EmissionSpec::kMultinomial:
      return Decode(spec.multinomial(), path);
    case v1::EmissionSpec::kPoisson:
      return Decode(spec.poisson(), path);
    case v1::EmissionSpec::kNegativeBinomial:
      return Decode(spec.negative_binomial(), path);
    case v1::EmissionSpec::kExponential:
      return Decode(spec.exponential(), path);
    case v1::EmissionSpec::kGamma:
      return Decode(spec.gamma(), path);
    case v1::EmissionSpec::kLogNormal:
      return Decode(spec.log_normal(), path);
    case v1::EmissionSpec::kVonMisesFisher:
      return Decode(spec.von_mises_fisher(), path);
    case v1::EmissionSpec::kProduct:
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": got a product in a product, must be any other emission"));
    case v1::EmissionSpec::EMISSION_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": got none, must be one of the emissions, e.g. {\"gaussian\": {}}"));
}

absl::StatusOr<ProductOptions> DecodeProduct(const v1::ProductEmission& spec,
                                             const std::string& path) {
  ProductOptions options;
  std::unordered_set<std::string_view> seen;
  for (int p = 0; p < spec.parts_size(); ++p) {
    const v1::ProductPart& part = spec.parts(p);
    const std::string here = absl::StrCat(path, ".parts[", p, "]");
    if (part.columns().empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(here, ".columns: got none, must name at least 1"));
    }
    for (int c = 0; c < part.columns_size(); ++c) {
      if (seen.insert(part.columns(c)).second) continue;
      return absl::InvalidArgumentError(absl::StrCat(here, ".columns[", c, "]: got ",
                                                     Shown(part.columns(c)),
                                                     " a second time, must be in one part"));
    }
    absl::StatusOr<LeafOptions> leaf = DecodeLeaf(part.emission(), absl::StrCat(here, ".emission"));
    if (!leaf.ok()) return leaf.status();
    options.parts.push_back({part.name(), part.columns_size(), *std::move(leaf)});
  }
  return options;
}
void Encode(const ProductOptions& options, v1::EmissionSpec& out) {
  v1::ProductEmission& spec = *out.mutable_product();
  for (const ProductOptions::Part& part : options.parts) {
    v1::ProductPart& to = *spec.add_parts();
    to.set_name(part.name);
    std::visit([&to](const auto& leaf) { Encode(leaf, *to.mutable_emission()); }, part.emission);
  }
}

// Name of the emission that is set.
std::string Chosen(const v1::EmissionSpec& spec) {
  const google::protobuf::FieldDescriptor* field = spec.GetReflection()->GetOneofFieldDescriptor(
      spec, v1::EmissionSpec::descriptor()->FindOneofByName("emission"));
  return field == nullptr ? "" : field->name();
}

}  // namespace

absl::StatusOr<EmissionOptions> DecodeEmissionSpec(const v1::EmissionSpec& spec,
                                                   const std::string& path) {
  if (spec.has_product()) {
    absl::StatusOr<ProductOptions> product =
        DecodeProduct(spec.product(), absl::StrCat(path, ".product"));
    if (!product.ok()) return product.status();
    return *std::move(product);
  }
  absl::StatusOr<LeafOptions> leaf = DecodeLeaf(spec, path);
  if (!leaf.ok()) return leaf.status();
  return std::visit([](auto& chosen) { return EmissionOptions(std::move(chosen)); }, *leaf);
}

void EncodeEmissionSpec(const EmissionOptions& options, v1::EmissionSpec& spec) {
  spec.Clear();
  std::visit([&spec](const auto& chosen) { Encode(chosen, spec); }, options);
}

std::string EmissionSpecField(const v1::EmissionSpec& spec, std::string_view field) {
  constexpr std::string_view kParts = "parts[";
  constexpr std::string_view kOfEmission = "].emission.";
  const size_t end = field.find(kOfEmission);
  int part = -1;
  if (spec.has_product() && field.starts_with(kParts) && end != std::string_view::npos &&
      absl::SimpleAtoi(std::string(field.substr(kParts.size(), end - kParts.size())), &part) &&
      part >= 0 && part < spec.product().parts_size()) {
    return absl::StrCat("product.parts[", part, kOfEmission.data(),
                        EmissionSpecField(spec.product().parts(part).emission(),
                                          field.substr(end + kOfEmission.size())));
  }
  const std::string chosen = Chosen(spec);
  return field.empty() ? chosen : absl::StrCat(chosen, ".", std::string(field));
}

std::vector<std::string> ProductColumns(const v1::EmissionSpec& spec) {
  std::vector<std::string> columns;
  for (const v1::ProductPart& part : spec.product().parts()) {
    columns.insert(columns.end(), part.columns().begin(), part.columns().end());
  }
  return columns;
}

void SetProductColumns(const EmissionOptions& options, const std::vector<std::string>& columns,
                       v1::EmissionSpec& spec) {
  const auto* const product = std::get_if<ProductOptions>(&options);
  if (product == nullptr) return;
  auto next = columns.begin();
  for (size_t p = 0; p < product->parts.size(); ++p) {
    v1::ProductPart& part = *spec.mutable_product()->mutable_parts(static_cast<int>(p));
    part.clear_columns();
    for (int c = 0; c < product->parts[p].num_columns && next != columns.end(); ++c) {
      part.add_columns(*next++);
    }
  }
}

bool HasCovariance(const v1::EmissionSpec& spec) {
  return spec.has_gaussian() || spec.has_student_t();
}

void SetCovariance(v1::Covariance covariance, v1::EmissionSpec& spec) {
  if (spec.has_gaussian()) spec.mutable_gaussian()->set_covariance(covariance);
  if (spec.has_student_t()) spec.mutable_student_t()->set_covariance(covariance);
}

v1::Covariance EncodeCovariance(Covariance covariance) {
  return EncodeEnum(kCovariances, covariance);
}

}  // namespace emserve::server
